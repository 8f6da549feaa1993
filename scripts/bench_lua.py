"""scripts/bench lua: Lua applications beside nginx with Lua, nginx without, and the floor.

First one worker each on one CPU, the client on another: what a request costs, by what the application looks at; by
wrk, and by scripts/floor/fire.c, which keeps every server busy. Then two workers each and hey, with the commands of
nibiru's journal."""
import os
import re
import shutil
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack

from bench_floor import program
from bench_hey import CONNECTIONS, hey, hey_version
from bench_journal import cell, middle, taken, version
from bench_nginx import Nginx, need_nginx, unpacked_lua
from harness import NAME, ROOT, Served, Tine, build, fail, free_port, need, run, say, show_progress, \
    start

HEADERS = {'User-Agent': 'bench/1.0', 'Accept': '*/*', 'Accept-Language': 'en'}
BODY = 'x' * 100
CHUNK, CHUNKS = 'x' * 99 + '\n', 10
# Path, what is measured, what the answer is.
PAGES = {
    '/hello': ('a constant answer', 'Hello\n'),
    '/three': ('three header fields', 'bench/1.0*/*en'),
    '/all': ('all of the request', None),
    '/echo': ('a POST of 100 bytes, echoed', BODY),
    '/ten': ('ten chunks, each sent at once', CHUNK * CHUNKS),
}
APP = '''
local pages = {}
function pages.hello() return "Hello\\n" end
function pages.three(environ)
  return environ.HTTP_USER_AGENT .. environ.HTTP_ACCEPT .. environ.HTTP_ACCEPT_LANGUAGE
end
function pages.all(environ)
  local bytes = 0
  for key, value in pairs(environ) do
    if type(value) == "string" then bytes = bytes + #key + #value end
  end
  return ("%d bytes\\n"):format(bytes)
end
function pages.echo(environ) return environ["wsgi.input"]:read() end
local chunk = ("x"):rep(99) .. "\\n"
local function ten()
  local sent = 0
  return function()
    if sent < 10 then
      sent = sent + 1
      return chunk
    end
  end
end
local of = { ["/hello"] = pages.hello, ["/three"] = pages.three, ["/all"] = pages.all, ["/echo"] = pages.echo }
function app(environ, start_response)
  start_response("200 OK", { { "Content-Type", "text/plain" } })
  if environ.PATH_INFO == "/ten" then
    return ten()
  end
  return { (of[environ.PATH_INFO] or pages.hello)(environ) }
end
'''
LUA = '''location = /hello { content_by_lua_block { ngx.print("Hello\\n") } }
        location = / { content_by_lua_block { ngx.print("Hello\\n") } }
        location = /three { content_by_lua_block {
            local var = ngx.var
            ngx.print(var.http_user_agent .. var.http_accept .. var.http_accept_language)
        } }
        location = /all { content_by_lua_block {
            local var, bytes = ngx.var, 0
            for key, value in pairs(ngx.req.get_headers(0)) do bytes = bytes + #key + #value end
            for _, key in ipairs({ "request_method", "uri", "request_uri", "args", "server_name", "server_port",
                "server_protocol", "remote_addr", "remote_port", "scheme" }) do
                bytes = bytes + #key + #(var[key] or "")
            end
            ngx.print(("%d bytes\\n"):format(bytes))
        } }
        location = /echo { content_by_lua_block {
            ngx.req.read_body()
            ngx.print(ngx.req.get_body_data())
        } }
        location = /ten { content_by_lua_block {
            local chunk, say, flush = ("x"):rep(99), ngx.say, ngx.flush
            for _ = 1, 10 do
                say(chunk)
                flush()
            end
        } }'''
PLAIN = 'location = /hello { return 200 "Hello\\n"; }\n        location = / { return 200 "Hello\\n"; }'
DOCS = os.path.join(ROOT, 'examples', 'docs', 'app.lua')


def prepare():
    need('hey', 'wrk', 'taskset=util-linux')
    need_nginx()
    unpacked_lua()
    program('limit')
    program('fire')


def built_with_luajit():
    directory = os.path.join(ROOT, 'target', 'bench', 'luajit')
    build('--bin', 'tine', '--no-default-features', '--features', 'luajit,aws-lc', '--target-dir', directory)
    return os.path.join(directory, 'release', 'tine')


class Floor(Served):
    """The C loop that parses nothing; for `with`."""

    def __init__(self, program, prefix):
        port = free_port()
        self.process = start([*prefix, program, '-p', str(port)])
        self.url = f'http://127.0.0.1:{port}'
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                return urllib.request.urlopen(f'{self.url}/hello', timeout=5).close()
            except OSError:
                time.sleep(0.02)
        fail('the floor did not start')


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    text = f'\n### Lua applications\n\n- {taken()}\n'
    luajit, lua, directory = built_with_luajit(), unpacked_lua(), tempfile.mkdtemp(prefix='tine-')
    try:
        app = os.path.join(directory, 'app.lua')
        with open(app, 'w') as file:
            file.write(APP)
        cpus = sorted(os.sched_getaffinity(0))
        of_server, of_client = (['taskset', '-c', str(cpu)] if len(cpus) > 1 else [] for cpu in (cpus[0], cpus[-1]))
        with ExitStack() as stack:
            servers = {
                'tine, Lua 5.4': Tine(binary, '--workers', '1', app=app, prefix=of_server),
                'tine, LuaJIT': Tine(luajit, '--workers', '1', app=app, prefix=of_server),
                'nginx with Lua': Nginx(1, LUA, lua=lua, prefix=of_server),
                'nginx': Nginx(1, PLAIN, prefix=of_server),
                'floor': Floor(program('limit'), of_server),
            }
            for server in servers.values():
                stack.enter_context(server)
            pages, pages_failed = measure_pages(servers, directory, of_client, choice)
        text += table_of_pages(pages, bool(of_server), choice)
        with ExitStack() as stack:
            workers = ('--workers', str(choice.workers))
            servers = {
                'tine, Lua 5.4': Tine(binary, *workers, app=DOCS),
                'tine, LuaJIT': Tine(luajit, *workers, app=DOCS),
                'nginx with Lua': Nginx(choice.workers, LUA, lua=lua),
                'nginx': Nginx(choice.workers, PLAIN),
            }
            for server in servers.values():
                stack.enter_context(server)
            runs = measure_hey(servers, choice)
        text += table_of_hey(runs, choice)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return text, pages_failed + sum(one['failed'] for rows in runs.values() for some in rows.values() for one in some)


def has_page(name, page):
    return page == '/hello' or name not in ('nginx', 'floor')


def measure_pages(servers, directory, prefix, choice):
    """{page: {server: {client: [runs]}}}, the servers in turn; and the number of failed requests."""
    script = os.path.join(directory, 'post.lua')
    with open(script, 'w') as file:
        file.write(f'wrk.method = "POST"\nwrk.body = "{BODY}"\n')
    for name, server in servers.items():
        for page, (_, expected) in PAGES.items():
            if has_page(name, page) and name != 'floor':
                check(name, server, page, expected)
    runs = {page: {name: {'wrk': [], 'fire': []} for name in servers if has_page(name, page)} for page in PAGES}
    clients = {'wrk': lambda server, page, seconds: wrk(server, page, seconds, prefix, script),
               'fire': lambda server, page, seconds: fire(server, page, seconds, prefix)}
    for page in PAGES:
        for client, measure in clients.items():
            rounds, seconds = rounds_of(choice, client)
            for number in range(-1, rounds):  # the first is a warm-up and is not counted
                for name in runs[page]:
                    show_progress(f'{NAME}: {page} by {client}, round {number + 1} of {rounds}, {name}')
                    one = measure(servers[name], page, seconds)
                    if number >= 0:
                        runs[page][name][client].append(one)
        show_progress('')
        say(f'{page}: ' + ', '.join(f'{name} {statistics.median(one["us"] for one in some["fire"]):.2f} us'
                                    for name, some in runs[page].items()))
    return runs, sum(failed(some) for rows in runs.values() for some in rows.values())


def failed(some):
    return sum(one['failed'] for runs in some.values() for one in runs)


def rounds_of(choice, client):
    """How many rounds, of how many seconds. fire's are short and many: a machine that others use, too, drifts within seconds,
    and neighbours in time are compared."""
    if client == 'fire':
        return choice.rounds or (20 if choice.quick else 100), 0.1
    return choice.rounds or (3 if choice.quick else 9), int(os.environ.get('SECS', '1'))


def check(name, server, page, expected):
    """Checks the answers, as wrk does not."""
    body = BODY.encode() if page == '/echo' else None
    with urllib.request.urlopen(urllib.request.Request(server.url + page, body, HEADERS), timeout=10) as response:
        text = response.read().decode()
        if text != expected and not (expected is None and re.fullmatch(r'\d+ bytes\n', text)):
            fail(f'{name} answers {page} with {text!r} instead of {expected!r}')


def wrk(server, page, seconds, prefix, script):
    headers = [part for name, value in HEADERS.items() for part in ('-H', f'{name}: {value}')]
    post = ['-s', script] if page == '/echo' else []
    command = [*prefix, 'wrk', '-t1', '-c64', f'-d{seconds}s', *post, *headers, server.url + page]
    text, used = server.loaded_by(command, seconds + 30)
    found = text and re.search(r'(\d+) requests in', text)
    if not found or found[1] == '0':
        fail(f'wrk had no answer from {server.url}{page}')
    count = int(found[1])
    bad = [int(number) for number in re.findall(r'Non-2xx or 3xx responses: (\d+)', text)]
    errors = [int(number) for line in re.findall(r'Socket errors: (.*)', text) for number in re.findall(r'\d+', line)]
    return {'rps': float(re.search(r'Requests/sec:\s+([\d.]+)', text)[1]), 'us': 1e6 * used / count,
            'failed': sum(bad) + sum(errors)}


def fire(server, page, seconds, prefix):
    """The same by fire, whose answer has to be the first one's length each time."""
    headers = [part for name, value in HEADERS.items() for part in ('-H', f'{name}: {value}')]
    post = ['-b', str(len(BODY))] if page == '/echo' else []
    command = [*prefix, program('fire'), '-c', '64', '-t', str(seconds), *post, *headers, server.url + page]
    text, used = server.loaded_by(command, seconds + 30)
    found = text and re.match(r'rps (\d+) responses (\d+) errors (\d+)', text)
    if not found or found[2] == '0':
        fail(f'fire had no answer from {server.url}{page}')
    return {'rps': float(found[1]), 'us': 1e6 * used / int(found[2]), 'failed': int(found[3])}


def ratio(runs, name, other):
    """For each round, the ratio of the CPU times of a request by fire."""
    if name == other or name not in runs or other not in runs:
        return ''
    pairs = zip(runs[name]['fire'], runs[other]['fire'])
    return middle([{'ratio': mine['us'] / its['us']} for mine, its in pairs], 'ratio', 2)


def table_of_pages(pages, is_pinned, choice):
    where = 'each server on one CPU, the client on another' if is_pinned else 'servers and clients on the same CPU'
    text = f'''- nginx {version(r'nginx/([0-9.]+)', 'nginx', '-v')} with lua-nginx-module, wrk \
{version('wrk (?:debian/)?([^ ]+)', 'wrk', '-v')}; {where}; one worker each, 64 connections that are kept, requests with \
three header fields beside Host; in turn
- wrk: medians of {rounds_of(choice, 'wrk')[0]} rounds of {rounds_of(choice, 'wrk')[1]} s (least..most); fire is \
scripts/floor/fire.c, which keeps every server busy: medians of {rounds_of(choice, 'fire')[0]} rounds of \
{rounds_of(choice, 'fire')[1]} s (the middle half)
- "us" is the CPU time of the server a request; the ratios are of fire's us, round by round

| | server | requests/s by wrk | us | requests/s by fire | us | to the floor | to nginx with Lua | to nginx | failed |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
'''
    for page, runs in pages.items():
        # The floor and nginx without Lua answer only the first page.
        for name, some in runs.items():
            compared = runs if page == '/hello' else runs | {k: v for k, v in pages['/hello'].items() if k not in runs}
            wrks, fires = some['wrk'], some['fire']
            cells = [PAGES[page][0], name, cell(wrks, 'rps'), cell(wrks, 'us', 2), middle(fires, 'rps'),
                     middle(fires, 'us', 2), *(ratio(compared, name, other) for other in ('floor', 'nginx with Lua', 'nginx')),
                     str(failed(some))]
            text += '| ' + ' | '.join(cells) + ' |\n'
    return text


def measure_hey(servers, choice):
    """{connections: {server: [runs]}}, the servers in turn."""
    rounds = choice.rounds or (1 if choice.quick else 3)
    for server in servers.values():
        run(['hey', '-n', '5000', '-c', '50', f'{server.url}/'], 60)  # not counted
    runs = {connections: {name: [] for name in servers} for connections in CONNECTIONS}
    for connections in CONNECTIONS:
        for number in range(rounds):
            for name, server in servers.items():
                what = f'{connections} connections, round {number + 1} of {rounds}, {name}'
                show_progress(f'{NAME}: {what}')
                one = hey(f'{server.url}/', choice.requests, connections, 60 + choice.requests / 1000)
                show_progress('')
                say(f'{what}: {one["rps"]:.0f} requests/s' + (f', {one["failed"]} FAILED' if one['failed'] else ''))
                runs[connections][name].append(one)
    return runs


def table_of_hey(runs, choice):
    rounds = len(next(iter(runs[CONNECTIONS[0]].values())))
    text = f'''
By hey {hey_version()}, {choice.workers} workers each, GET / of examples/docs/app.lua (nginx: \
a hello); medians of {rounds} (least..most), nothing pinned; the ratios are of requests/s, round by round:

```
'''
    text += ''.join(f'hey -n {choice.requests} -c {connections} http://127.0.0.1:PORT\n' for connections in CONNECTIONS)
    text += '''```

| c | server | requests/s | p50 ms | p99 ms | to nginx with Lua | to nginx | failed |
|---:|---|---:|---:|---:|---:|---:|---:|
'''
    for connections, servers in runs.items():
        for name, some in servers.items():
            ratios = [cell([{'ratio': mine['rps'] / its['rps']} for mine, its in zip(some, servers[other])], 'ratio', 2)
                      if name != other else '' for other in ('nginx with Lua', 'nginx')]
            cells = [str(connections), name, cell(some, 'rps'), cell(some, 'p50', 1), cell(some, 'p99', 1), *ratios,
                     str(sum(one['failed'] for one in some))]
            text += '| ' + ' | '.join(cells) + ' |\n'
    return text

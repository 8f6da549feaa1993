"""scripts/bench streams: responses of two seconds to many connections, by hey, tine and nginx with Lua in turn.

A response is 21 chunks, 100 ms apart. The ideal rate is one response every 2 s on each connection. The time that counts
includes that of opening the connections."""
import re
import urllib.request

from bench_hey import hey, hey_version
from bench_journal import cell, median, taken, version
from bench_nginx import Nginx, need_nginx, unpacked_lua
from harness import NAME, Tine, cpu_seconds, fail, need, say, show_progress

SECONDS = 2.0
# hey takes the end of a connection for the end of a body: a response that ends early was cut. A little less than two
# seconds is right: servers count from the begin of their turn; in a burst the first chunks are late and the last in time.
SECONDS_LEAST = 0.9 * SECONDS
FULL_ROUNDS = 10  # responses on each connection, in one run
PATH = '/chunked/21?size=36&delay=100'
LUA = '''location = /chunked/21 { content_by_lua_block {
            for i = 1, 21 do
                ngx.print("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
                ngx.flush(true)
                if i < 21 then ngx.sleep(0.1) end
            end
        } }'''
# Connections, workers, and tine's limits: the share of the ideal rate, and p99 in milliseconds.
SHAPES = ((500, 1, 0.99, 2100), (2500, 16, 0.98, 2300))


def prepare():
    need('hey')
    need_nginx()
    unpacked_lua()


def entry(binary, choice):
    """The text of the part, and the number of failed responses."""
    head = f'\n### Streams of two seconds\n\n- {taken()}\n'
    lua, rounds = unpacked_lua(), choice.rounds or (1 if choice.quick else 3)
    runs = {}
    for shape in SHAPES:
        connections, workers = shape[:2]
        with Tine(binary, '--workers', str(workers)) as tine, \
                Nginx(workers, LUA, connections=4096, lua=lua) as nginx:
            servers = {'tine': tine, 'nginx-lua': nginx}
            for name, server in servers.items():
                check(name, server)
            runs[shape] = measure(servers, connections, rounds)
    return head + table(runs, rounds), sum(one['failed'] for shape in runs.values() for some in shape.values()
                                           for one in some)


def check(name, server):
    """Checks the answers, as hey does not."""
    with urllib.request.urlopen(server.url + PATH, timeout=10) as response:
        if (size := len(response.read())) != 21 * 36:
            fail(f'{name} answers {PATH} with {size} bytes instead of {21 * 36}')


def measure(servers, connections, rounds):
    runs = {name: [] for name in servers}
    for number in range(rounds):
        for name, server in servers.items():
            what = f'{connections} streams, round {number + 1} of {rounds}, {name}'
            show_progress(f'{NAME}: {what}, {FULL_ROUNDS * SECONDS:.0f} s')
            workers = server.processes()
            before = cpu_seconds(workers)
            one = hey(server.url + PATH, FULL_ROUNDS * connections, connections, 6 * FULL_ROUNDS * SECONDS)
            one['server_cpu'] = cpu_seconds(workers) - before
            one['share'] = 100 * one['rps'] * SECONDS / connections
            if one['least'] < 1000 * SECONDS_LEAST and not one['failed']:
                one['failed'] = 1  # or more
            show_progress('')
            say(f'{what}: {one["rps"]:.1f} responses/s, {one["share"]:.1f} %, p99 {one["p99"] / 1000:.2f} s'
                + (f', {one["failed"]} FAILED' if one['failed'] else ''))
            runs[name].append(one)
    return runs


def verdict(runs, share_bar, p99_bar):
    """Whether the medians are within the limits, and the number of rounds that are."""
    def holds(share, p99):
        return share >= 100 * share_bar and p99 <= p99_bar

    good = sum(holds(one['share'], one['p99']) and not one['failed'] for one in runs)
    is_good = holds(median(runs, 'share'), median(runs, 'p99')) and not any(one['failed'] for one in runs)
    return f'{"ok" if is_good else "MISSED"} ({good} of {len(runs)} rounds)'


def table(runs, rounds):
    text = f'''- nginx {version(r'nginx/([0-9.]+)', 'nginx', '-v')} with lua-nginx-module (21 times ngx.print and \
ngx.flush(true), ngx.sleep(0.1) between), hey {hey_version()}; in turn, medians of {rounds} (least..most)
- Nothing is pinned; hey runs on the same CPUs. A failure is an answer other than 200, or one in less than 1.8 s

```
'''
    for connections, workers, *_ in runs:
        text += f'tine run 0 --workers {workers}\n'
        text += f"hey -n {FULL_ROUNDS * connections} -c {connections} 'http://127.0.0.1:PORT{PATH}'\n"
    text += '''```

| c | workers | server | responses/s | % of ideal | least ms | p50 ms | p99 ms | most ms | server CPU s | hey CPU s | failed \
| bar | |
|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|
'''
    for (connections, workers, share_bar, p99_bar), servers in runs.items():
        for name, some in servers.items():
            bar = ['', '']
            if name == 'tine':
                bar = [f'>= {100 * share_bar:.0f} %, p99 <= {p99_bar} ms', verdict(some, share_bar, p99_bar)]
            cells = [str(connections), str(workers), name, cell(some, 'rps', 1), cell(some, 'share', 1),
                     *(cell(some, key) for key in ('least', 'p50', 'p99', 'most')),
                     cell(some, 'server_cpu', 1), cell(some, 'cpu', 1), str(sum(one['failed'] for one in some)), *bar]
            text += '| ' + ' | '.join(cells) + ' |\n'
    text += "\n<details><summary>hey's summaries of tine (for each, the run of the median)</summary>\n"
    for (connections, *_), servers in runs.items():
        middle = sorted(servers['tine'], key=lambda one: one['rps'])[len(servers['tine']) // 2]
        short = re.sub(r'\nResponse time histogram:.*?(?=\nLatency)', '', middle['text'], flags=re.S)
        text += f'\n```\nhey -n {FULL_ROUNDS * connections} -c {connections}\n{short}\n```\n'
    return f'{text}\n</details>\n'

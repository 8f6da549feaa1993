"""scripts/bench bulk: large bodies. The ways to send them, without a server; then /bin, /chunked and /upload of tine
beside nginx and the floor. CPU seconds a GiB, with sender and receiver on a CPU each."""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench_journal import cell, median, taken, version
from bench_floor import program
from bench_nginx import Nginx, need_nginx, unpacked_lua
from bench_sends import ALPHABET, WAYS
from harness import MIB, NAME, ROOT, Tine, cpu_seconds, end, fail, free_port, need, processes, run, say, show_progress
from harness import start

# nginx's own file sending, with and without sendfile(2); chunks by Lua; bodies read by Lua in pieces of at most 64 KiB,
# or dropped by nginx itself, which answers before they have arrived.
NGINX = '''client_max_body_size 0;
        location /bin/ {{ sendfile on; tcp_nopush on; alias {files}/; }}
        location /read/ {{ sendfile off; alias {files}/; }}
        location = /chunked/1000 {{ content_by_lua_block {{
            local block = string.rep("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 29128):sub(1, 1048576)
            for i = 1, 1000 do
                ngx.print(block)
                ngx.flush(true)
            end
        }} }}
        location = /upload {{ lua_socket_buffer_size 64k; content_by_lua_block {{
            local socket, got = assert(ngx.req.socket()), 0
            local length = tonumber(ngx.var.http_content_length)
            while got < length do got = got + #assert(socket:receiveany(65536)) end
            local answer = '{{"bytes_received":' .. got .. '}}'
            ngx.header.content_length = #answer
            ngx.print(answer)
        }} }}
        location = /drop {{ return 200 'ok'; }}'''
CHUNKED = '/chunked/1000?size=1048576'
UPLOADS = 4
# A row of the first table is slow if it costs this many times what the fastest round of the same way did.
SLOW = 1.6


def prepare():
    need_nginx()
    unpacked_lua()
    need('taskset=util-linux')
    program('limit')
    if len(os.sched_getaffinity(0)) < 2:
        fail('bulk needs two CPUs, one for each side')


def entry(binary, choice):
    """The text of the part, and the number of failed transfers."""
    text = f'\n### Large bodies\n\n- {taken()}\n'
    rounds = choice.rounds or (3 if choice.quick else 9)
    text += ways_table(ways(rounds, 512 if choice.quick else 1024), rounds)
    rounds = choice.rounds or (2 if choice.quick else 5)
    runs, failed = rows(binary, choice.quick, rounds)
    return text + rows_table(runs, rounds), failed


# The ways


def ways(rounds, mib):
    """What bench_sends.py prints."""
    command = [sys.executable, os.path.join(ROOT, 'scripts', 'bench_sends.py'), '--rounds', str(rounds),
               '--mib', str(mib)]
    process = start(command, stdout=subprocess.PIPE, stderr=None, text=True)
    runs = []
    for line in process.stdout:
        runs.append(one := json.loads(line))
        show_progress(f'{NAME}: ways to send, round {one["round"] + 1} of {rounds}, {one["way"]}')
    show_progress('')
    if process.wait():
        fail('bench_sends.py failed')
    end(process)
    say(f'ways to send: {len(runs)} runs')
    return runs


def ways_table(runs, rounds):
    text = f'''- The ways to send, by `scripts/bench_sends.py` (no server; it says what each is), {rounds} rounds of \
all in turn, CPU s/GiB: median (least..most); "of send" is the median of the ratios within a round, of both sides' CPU

| receiver | way | sender | receiver | both | of send | GB/s |
|---|---|---:|---:|---:|---:|---:|
'''
    for one in runs:
        one['both'] = one['sender'] + one['receiver']
    notes = ''
    for drops in (False, True):
        some = {way: [one for one in runs if (one['way'], one['drops']) == (way, drops)] for way in WAYS}
        receiver = 'drops' if drops else 'copies'
        for way, mine in some.items():
            cells = [receiver, way, *(cell(mine, key, 3) for key in ('sender', 'receiver', 'both')),
                     ratio(mine, some['send'], lambda one: one['both']), cell(mine, 'rate', 2)]
            text += '| ' + ' | '.join(cells) + ' |\n'
        notes += slow_note(receiver, some)
    copied = median([one for one in runs if one['way'] == 'zerocopy'], 'copied')
    return text + f'\nOf the zerocopy sends the kernel copied {copied:.0%} all the same, and said so.\n' + notes


def slow_note(receiver, some):
    """This machine's two speeds of send(2), if both were seen."""
    bar = SLOW * min(one['both'] for one in some['send'])
    slow = [one['round'] for one in some['send'] if one['both'] > bar]
    if not slow or len(slow) == len(some['send']):
        return ''
    states = []
    for name, is_slow in (('quick', False), ('slow', True)):
        figures = (f'{way} {statistics.median(one["both"] for one in mine if (one["round"] in slow) == is_slow):.3f}'
                   for way, mine in some.items())
        states.append(f'{name}: ' + ', '.join(figures))
    return (f'\nThe receiver {receiver}: in {len(slow)} of {len(some["send"])} rounds send cost more than {SLOW} times '
            f'its least. Medians of both sides where it was {"; ".join(states)}.\n')


# The rows


@contextlib.contextmanager
def limit(cpu):
    """The floor: a loop that parses nothing (scripts/floor/limit.c)."""
    port = free_port()
    process = start(['taskset', '-c', str(cpu), program('limit'), '-p', str(port)])
    time.sleep(0.5)
    process.url = f'http://127.0.0.1:{port}'
    process.processes = lambda: processes(process.pid)
    yield process
    end(process)


@contextlib.contextmanager
def bulk_file(name, mib):
    """A file of real bytes in memory: from a sparse file, sendfile would send the same page over and over."""
    shared = '/dev/shm'
    space = os.statvfs(shared)
    if space.f_bavail * space.f_frsize < (mib + 256) * MIB:
        fail(f'{shared} has no room for {mib} MiB')
    with tempfile.TemporaryDirectory(prefix='tine-', dir=shared) as directory:
        os.chmod(directory, 0o755)  # nginx's workers run as another user if its master is root
        with open(os.path.join(directory, name), 'wb') as file:
            block = (ALPHABET * (MIB // 36 + 1))[:MIB]
            for _ in range(mib):
                file.write(block)
        yield directory


def rows(binary, is_quick, rounds):
    """{(row, receiver): {server: [runs]}}, and the number of failed runs."""
    size, mib = ('256M', 256) if is_quick else ('1G', 1024)
    upload_mib = 128 if is_quick else 512
    server_cpu, client_cpu = sorted(os.sched_getaffinity(0))[:2]
    pinned = ['taskset', '-c', str(server_cpu)]
    with bulk_file(size, mib) as files, limit(server_cpu) as floor, \
            Tine(binary, '--workers', '1', prefix=pinned) as tine, \
            Nginx(1, NGINX.format(files=files), lua=unpacked_lua(), prefix=pinned) as nginx:
        bins = {'tine': (tine, f'/bin/{size}'), 'nginx, sendfile': (nginx, f'/bin/{size}'),
                'nginx, reading': (nginx, f'/read/{size}')}
        bins |= {'floor, send': (floor, f'/bin/{size}'), 'floor, sendfile': (floor, f'/sf/{size}')}
        chunks = {'tine': (tine, CHUNKED), 'nginx-lua': (nginx, CHUNKED)}
        uploads = {'tine': (tine, '/upload'), 'nginx-lua': (nginx, '/upload'), 'nginx, dropping': (nginx, '/drop')}
        runs, failed = {}, 0
        for row, servers, arguments in (
                (f'/bin/{size}, c=1', bins, ['get', '--mib', str(mib)]),
                (f'/bin/{size}, c=8', bins, ['get', '--mib', str(mib), '--connections', '8']),
                (CHUNKED, chunks, ['get', '--mib', '1000']),
                (f'/upload, c={UPLOADS}, {upload_mib} MiB each', uploads,
                 ['put', '--mib', str(upload_mib), '--connections', str(UPLOADS)])):
            for drops in (False, True) if arguments[0] == 'get' else (False,):
                key = (row, '' if arguments[0] == 'put' else 'drops' if drops else 'copies')
                runs[key] = {name: [] for name in servers}
                for number in range(rounds):
                    for name, (server, path) in servers.items():
                        show_progress(f'{NAME}: {row}, round {number + 1} of {rounds}, {name}')
                        one = transfer(server, path, client_cpu, arguments + ['--drop'] * drops)
                        show_progress('')
                        if one:
                            runs[key][name].append(one)
                        else:
                            failed += 1
                say(f'{row}{", dropping" if drops else ""}: ' + ', '.join(
                    f'{name} {median(some, "server"):.3f}' for name, some in runs[key].items() if some) + ' CPU s/GiB')
    return runs, failed


def transfer(server, path, cpu, arguments):
    """One run; None if it failed."""
    pids = server.processes()
    before = cpu_seconds(pids)
    said = run([sys.executable, os.path.join(ROOT, 'scripts', 'bench_transfer.py'), arguments[0], server.url + path,
                *arguments[1:], '--cpu', str(cpu)], 120, stderr=None)
    if said is None:
        return None
    one = json.loads(said)
    gib = one['bytes'] / 2**30
    used = cpu_seconds(pids) - before
    return {'server': used / gib, 'client': one['cpu'] / gib, 'rate': one['bytes'] / one['seconds'] / 1e9,
            'gib': gib / used}


def rows_table(runs, rounds):
    text = f'''
- tine and its peers, nginx {version(r'nginx/([0-9.]+)', 'nginx', '-v')}, one worker each on one CPU, the client \
(`scripts/bench_transfer.py`, calls of 1 MiB) on another; {rounds} rounds in turn: median (least..most). nginx sends \
/bin from a file in memory; its chunks are 1000 times ngx.print of 1 MiB and ngx.flush(true); /upload is read by Lua \
in pieces of 64 KiB and counted, or dropped by nginx itself
- "of tine": the median of the ratios within a round, of the server's CPU and of both sides' (sendfile leaves more of \
the work to the receiver)

| row | client | server | server CPU s/GiB | of tine | client CPU s/GiB | both, of tine | GiB per server CPU s | GB/s |
|---|---|---|---:|---:|---:|---:|---:|---:|
'''
    for (row, receiver), servers in runs.items():
        for name, some in servers.items():
            cells = [row, receiver, name]
            if len(some) < rounds:
                text += '| ' + ' | '.join([*cells, f'{rounds - len(some)} of {rounds} runs failed']) + ' ||||||\n'
                continue
            ratios = ['', '']
            if len(servers['tine']) == rounds:
                ratios = [ratio(some, servers['tine'], used) for used in
                          (lambda one: one['server'], lambda one: one['server'] + one['client'])]
            cells += [cell(some, 'server', 3), ratios[0], cell(some, 'client', 3), ratios[1], cell(some, 'gib', 2),
                      cell(some, 'rate', 2)]
            text += '| ' + ' | '.join(cells) + ' |\n'
    return text


def ratio(some, others, used):
    """The median of the ratios within a round."""
    return f'{statistics.median(used(one) / used(other) for one, other in zip(some, others)):.2f}'

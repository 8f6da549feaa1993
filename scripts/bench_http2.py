"""scripts/bench http2: what a request over HTTP/2 costs, and a connection that is idle or held: tine, nghttpd, h2o and nginx."""
import contextlib
import os
import re
import shutil
import socket
import struct
import tempfile
import time

from bench_journal import cell, median, taken, version
from bench_nginx import ANSWER, Nginx, need_nginx
from harness import NAME, ON_LAST_CPU, Served, Tine, fail, free_port, need, say, show_progress, start

BULK_BYTES = 100 << 20
# Of h2load: the options, and what is fetched how often in a slice. Tine has /health in memory, the others as a file.
LOADS = {
    '-c 64 -m 1': ('/health', 6_400),
    '-c 64 -m 32': ('/health', 64_000),
    '-c 64 -m 32, a file': ('/small', 64_000),
    '-c 1 -m 1, 100 MB': ('/bulk', 2),
}
BASES = {load: 'nginx' if '100 MB' in load else 'nghttpd' for load in LOADS}
IDLE, HELD, HELD_STREAMS = 1000, 50, 100
H2O = '''\
listen: {{ host: 127.0.0.1, port: {port} }}
user: root
num-threads: 1
max-connections: 10000
pid-file: {directory}/h2o.pid
hosts: {{ default: {{ paths: {{ /: {{ file.dir: {files} }} }} }} }}
'''


def prepare():
    need('taskset=util-linux', 'h2load=nghttp2-client', 'nghttpd=nghttp2-server', 'h2o')
    need_nginx()


class Peer(Served):
    """A server that is told its port; for `with`."""

    def __init__(self, port, command):
        self.process, self.url = start(command), f'http://127.0.0.1:{port}'
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f'{command} did not start')
            time.sleep(0.02)


def nghttpd(files, prefix):
    port = free_port()
    return Peer(port, [*prefix, 'nghttpd', '--no-tls', '-a', '127.0.0.1', '-d', files, str(port)])


def h2o(files, scratch, prefix):
    port, path = free_port(), os.path.join(scratch, 'h2o.conf')
    with open(path, 'w') as file:
        file.write(H2O.format(port=port, directory=scratch, files=files))
    return Peer(port, [*prefix, 'h2o', '-m', 'worker', '-c', path])


def nginx(files, prefix):
    """A port that speaks HTTP/2 in cleartext speaks nothing else, so it has one of its own."""
    port = free_port()
    location = f'listen 127.0.0.1:{port} http2; location / {{ root {files}; sendfile on; }}'
    server = Nginx(1, locations=location, connections=4096, prefix=prefix)
    server.url = f'http://127.0.0.1:{port}'
    return server


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    rounds = choice.rounds or (5 if choice.quick else 40)
    prefix, first, runs = ['taskset', '-c', os.environ.get('CPUS', '0')], taken(), {}
    # In memory, and readable by nginx's worker, which is another user's.
    files, scratch = tempfile.mkdtemp(prefix='tine-', dir='/dev/shm'), tempfile.mkdtemp(prefix='tine-')
    os.chmod(files, 0o755)
    for name in 'health', 'small':
        with open(os.path.join(files, name), 'wb') as file:
            file.write(ANSWER)
    with open(os.path.join(files, 'bulk'), 'wb') as file:
        file.truncate(BULK_BYTES)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, files, ignore_errors=True)
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        servers = {
            'tine': stack.enter_context(Tine(binary, '--workers', '1', prefix=prefix)),
            'nghttpd': stack.enter_context(nghttpd(files, prefix)),
            'h2o': stack.enter_context(h2o(files, scratch, prefix)),
            'nginx': stack.enter_context(nginx(files, prefix)),
        }
        of_files = servers | {'tine': stack.enter_context(Tine(binary, '--workers', '1', '--static', files, prefix=prefix))}
        # Before the loads, since what an allocator keeps of them would be given to these connections.
        idle = {name: kept_by(server, IDLE, 1, '/health', 65535) for name, server in servers.items()}
        held = {name: kept_by(server, HELD, HELD_STREAMS, '/bulk', 0) for name, server in of_files.items()}
        for number in range(rounds):
            for load, (path, _) in LOADS.items():
                for name, server in (servers if path == '/health' else of_files).items():
                    show_progress(f'{NAME}: http2, round {number + 1} of {rounds}, {load}, {name}')
                    runs.setdefault(load, {}).setdefault(name, []).append(h2load(server, load))
            show_progress('')
            if (number + 1) % 5 == 0:
                say(f'http2, {number + 1} of {rounds} rounds')
    failed = sum(one['failed'] for of_load in runs.values() for all_of in of_load.values() for one in all_of)
    return table(runs, idle, held, first, rounds), failed


def h2load(server, load):
    path, count = LOADS[load]
    options = load.split(',')[0].split()
    text, used = server.loaded_by([*ON_LAST_CPU, 'h2load', '-n', str(count), *options, server.url + path], 120)
    found = re.search(r'finished in ([\d.]+)(m?s), .* (\d+) succeeded, (\d+) failed', text or '', re.S)
    if not found or found[3] == '0':
        fail(f'h2load failed on {server.url}: {text}')
    seconds = float(found[1]) / (1000 if found[2] == 'ms' else 1)
    return {'rps': int(found[3]) / seconds, 'us': used / int(found[3]) * 1e6, 'failed': int(found[4])}


def frame(kind, flags, stream, payload):
    return struct.pack('>I', len(payload))[1:] + bytes((kind, flags)) + struct.pack('>I', stream) + payload


def get(stream, path):
    """HEADERS that end the stream: :method GET and :scheme http of the static table, the others literally."""
    path = path.encode()
    return frame(1, 5, stream, b'\x82\x86' + bytes((4, len(path))) + path + b'\x01\x01t')


def kept_by(server, count, streams, path, window):
    """Bytes of memory that each of `count` connections makes the server keep that has sent `streams` requests, and opens no
    window by more than `window`: the answer to the last, or the wait for one, is what the connection rests in."""
    before, clients = anonymous_bytes(server), []
    settings = frame(4, 0, 0, struct.pack('>HI', 4, window))
    hello = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + settings + frame(4, 1, 0, b'')
    port = int(server.url.rsplit(':', 1)[1])
    try:
        for _ in range(count):
            client = socket.create_connection(('127.0.0.1', port), 10)
            client.sendall(hello + b''.join(get(2 * number + 1, path) for number in range(streams)))
            # Each answers with at least a head; of a window of 0 no body follows.
            client.settimeout(2)
            heads, text = 0, b''
            with contextlib.suppress(TimeoutError):
                while heads < streams and (read := client.recv(1 << 16)):
                    text += read
                    while len(text) >= 9 + (size := int.from_bytes(text[:3], 'big')):
                        heads += text[3] == 1
                        text = text[9 + size:]
            if heads < streams:
                say(f'{server.url}: a connection has {heads} of {streams} answers')
            clients.append(client)
        time.sleep(0.5)
        return (anonymous_bytes(server) - before) / count
    finally:
        for client in clients:
            client.close()


def anonymous_bytes(server):
    total = 0
    for pid in server.processes():
        with open(f'/proc/{pid}/smaps_rollup') as lines:
            total += int(re.search(r'^Anonymous:\s+(\d+) kB', lines.read(), re.M)[1]) << 10
    return total


def table(runs, idle, held, first, rounds):
    of = {'nginx': version(r'nginx/(\S+)', 'nginx', '-v'), 'nghttpd': version(r'nghttp2/(\S+)', 'nghttpd', '--version'),
          'h2o': version(r'version (\S+)', 'h2o', '--version')}
    versions = ', '.join(f'{name} {number}' for name, number in of.items())
    text = f'''
### HTTP/2 in cleartext, CPU a request in us, one worker each, h2load; rounds: {rounds}

{first}; {versions}; median (least..most); the ratio is the median of those within a round. Small is /health, which
tine has in memory and the others as a file; `a file`: of as many bytes, in all of them.

| load | server | CPU a request | of {', '.join(sorted(set(BASES.values())))} | requests/s |
|---|---|---:|---:|---:|
'''
    for load, servers in runs.items():
        base = servers[BASES[load]]
        for name, one in servers.items():
            ratio = median([{'us': a['us'] / b['us']} for a, b in zip(one, base)], 'us')
            text += f'| {load} | {name} | {cell(one, "us", 2)} | {ratio:.2f} of {BASES[load]} | {cell(one, "rps")} |\n'
    text += f'''
Memory that a connection keeps (anonymous, {IDLE} that are idle after one request; {HELD} with windows of 0 and
{HELD_STREAMS} requests of 100 MB each), in KiB:

| server | idle | held |
|---|---:|---:|
'''
    for name in idle:
        text += f'| {name} | {idle[name] / 1024:.1f} | {held[name] / 1024:.1f} |\n'
    return text

"""scripts/bench tls: what HTTPS costs: a handshake, a request, large responses, and an idle connection: tine and nginx, with
the same certificate."""
import contextlib
import os
import re
import socket
import ssl
import tempfile
import time

from bench_http2 import anonymous_bytes
from bench_journal import cell, median, taken, version
from bench_nginx import ANSWER, Nginx, need_nginx
from harness import NAME, ON_LAST_CPU, Tine, fail, free_port, need, run, say, show_progress

BULK_BYTES, IDLE = 100 << 20, 500
# The client's command, without the URL, what is fetched, and how its report says how many were answered. As the
# name of the server (SNI) hey would send an address with a port.
LOADS = {
    'handshake, GET, close': (
        ('hey', '-n', '600', '-c', '16', '-disable-keepalive', '-host', 'localhost'), '/health', r'\[200\]\s+(\d+) responses'),
    'GET, kept, -c 64': (('wrk', '-t', '1', '-c', '64', '-d', '{seconds}'), '/health', r'(\d+) requests in'),
    '100 MB': (('h2load', '--h1', '-n', '2', '-c', '1'), '/bulk', r', (\d+) succeeded'),
}
NGINX = '''
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location = /health {{ return 200 '{answer}'; }}
        location / {{ root {files}; sendfile on; }}
    }}
'''


def prepare():
    need('taskset=util-linux', 'hey', 'wrk', 'h2load=nghttp2-client')
    need_nginx()


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    rounds = choice.rounds or (3 if choice.quick else 20)
    prefix, when, runs, failed = ['taskset', '-c', os.environ.get('CPUS', '0')], taken(), {}, 0
    with contextlib.ExitStack() as stack:
        # In memory, and readable by nginx's worker, which is another user's.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='tine-', dir='/dev/shm'))
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, 'health'), 'wb') as file:
            file.write(ANSWER)
        with open(os.path.join(folder, 'bulk'), 'wb') as file:
            file.truncate(BULK_BYTES)
        if run([binary, 'cert'], 20, cwd=folder) is None:
            fail('tine cert has failed')
        pair = [os.path.join(folder, name) for name in ('cert.pem', 'key.pem')]
        servers = {'tine': stack.enter_context(tine(binary, pair, folder, prefix)),
                   'nginx': stack.enter_context(nginx(folder, prefix))}
        # Before the loads, since what an allocator keeps of them would be given to these connections.
        kept = {name: kept_by(server) for name, server in servers.items()}
        for number in range(rounds):
            for load in LOADS:
                for name, server in servers.items():
                    show_progress(f'{NAME}: tls, round {number + 1} of {rounds}, {load}, {name}')
                    one = measured(server, load, '1s' if choice.quick else '2s')
                    failed += one['failed']
                    runs.setdefault(load, {}).setdefault(name, []).append(one)
            show_progress('')
            if (number + 1) % 5 == 0:
                say(f'tls, {number + 1} of {rounds} rounds')
    return table(runs, kept, when, rounds), failed


def tine(binary, pair, files, prefix):
    options = ['--tls-listen', f'127.0.0.1:{free_port()}', '--tls-cert', pair[0], '--tls-key', pair[1]]
    server = Tine(binary, '--workers', '1', '--static', files, *options, prefix=prefix)
    server.url = f'https://{options[1]}'
    return server


def nginx(folder, prefix):
    port = free_port()
    http = NGINX.format(port=port, folder=folder, files=folder, answer=ANSWER.decode())
    server = Nginx(1, connections=4096, prefix=prefix, http=http)
    server.url = f'https://127.0.0.1:{port}'
    return server


def measured(server, load, seconds):
    command, path, pattern = LOADS[load]
    command = [word.format(seconds=seconds) for word in command]
    text, used = server.loaded_by([*ON_LAST_CPU, *command, server.url + path], 120)
    answered = re.search(pattern, text or '')
    if not answered or answered[1] == '0':
        fail(f'{command[0]} failed on {server.url}: {text}')
    wrong = re.search(r'Non-2xx or 3xx responses: (\d+)|Socket errors: (?!connect 0, read 0, write 0, timeout 0)(.*)', text)
    count = int(answered[1])
    return {'us': used / count * 1e6, 'failed': 1 if wrong else 0}


def kept_by(server):
    """Bytes of memory that each connection makes the server keep that is idle after one request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port, clients = int(server.url.rsplit(':', 1)[1]), []

    def connect():
        client = context.wrap_socket(socket.create_connection(('127.0.0.1', port), 10), server_hostname='localhost')
        client.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
        text = b''
        while not text.endswith(ANSWER):
            read = client.recv(1 << 16)
            text += read or fail(f'{server.url} has answered {text}')
        clients.append(client)

    try:
        for _ in range(20):  # what the first ones allocate is not theirs
            connect()
        before = anonymous_bytes(server)
        for _ in range(IDLE):
            connect()
        time.sleep(0.5)
        return (anonymous_bytes(server) - before) / IDLE
    finally:
        for client in clients:
            client.close()


def table(runs, kept, when, rounds):
    number = version(r'nginx/(\S+)', 'nginx', '-v')
    text = f'''
### HTTPS, CPU a request in us, one worker each, the same certificate (P-256); rounds: {rounds}

{when}; nginx {number}; by hey, wrk and h2load; TLS 1.3; median (least..most); the ratio is the median of
those within a round. The large file is read and sealed by both.

| load | server | CPU a request | of nginx |
|---|---|---:|---:|
'''
    for load, servers in runs.items():
        for name, one in servers.items():
            ratio = median([{'us': a['us'] / b['us']} for a, b in zip(one, servers['nginx'])], 'us')
            text += f'| {load} | {name} | {cell(one, "us", 2)} | {ratio:.2f} |\n'
    idle = ', '.join(f'{name} {one / 1024:.1f} KiB' for name, one in kept.items())
    return text + f'\nMemory that an idle connection keeps (anonymous, {IDLE} of them after one request each): {idle}.\n'

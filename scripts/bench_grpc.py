"""scripts/bench grpc: what a unary call costs: tine and grpc-go, one thread each."""
import contextlib
import os
import re
import tempfile

from bench_http2 import Peer
from bench_journal import cell, median, taken
from harness import NAME, ON_LAST_CPU, ROOT, Tine, fail, free_port, need, run, say, show_progress

# Of h2load: the options, and how many calls are made in a slice.
LOADS = {'-c 64 -m 1': 6_400, '-c 16 -m 32': 32_000}
PATH = '/grpc.health.v1.Health/Check'
# A message with an empty request: not compressed, of length 0. The reply has one of two bytes, SERVING.
BODY, REPLY_BYTES = b'\0\0\0\0\0', 7
GO_SOURCES = '/usr/share/gocode'
SOURCES = f'{GO_SOURCES}/src/google.golang.org/grpc/health/server.go'


def prepare():
    need('taskset=util-linux', 'h2load=nghttp2-client', 'go=golang-go', f'{SOURCES}=golang-google-grpc-dev')


def entry(binary, choice):
    """The text of the part, and the number of failed calls."""
    rounds = choice.rounds or (5 if choice.quick else 40)
    prefix, when, runs = ['taskset', '-c', os.environ.get('CPUS', '0')], taken(), {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='tine-'))
        body = os.path.join(folder, 'body')
        with open(body, 'wb') as file:
            file.write(BODY)
        servers = {'tine': stack.enter_context(Tine(binary, '--workers', '1', prefix=prefix)),
                   'grpc-go': stack.enter_context(grpc_go(folder, prefix))}
        for number in range(rounds):
            for load in LOADS:
                for name, server in servers.items():
                    show_progress(f'{NAME}: grpc, round {number + 1} of {rounds}, {load}, {name}')
                    runs.setdefault(load, {}).setdefault(name, []).append(h2load(server, load, body))
            show_progress('')
            if (number + 1) % 5 == 0:
                say(f'grpc, {number + 1} of {rounds} rounds')
    failed = sum(one['failed'] for of_load in runs.values() for all_of in of_load.values() for one in all_of)
    return table(runs, when, rounds), failed


def grpc_go(folder, prefix):
    program, port = os.path.join(folder, 'grpc-go'), free_port()
    environment = os.environ | {'GO111MODULE': 'off', 'GOPATH': GO_SOURCES, 'GOCACHE': os.path.join(folder, 'cache')}
    say('building the peer, grpc-go')
    source = os.path.join(ROOT, 'scripts', 'grpc_peer', 'main.go')
    if run(['go', 'build', '-o', program, source], 600, env=environment) is None:
        fail(f'go build of {source} has failed')
    return Peer(port, [*prefix, 'env', 'GOMAXPROCS=1', program, str(port)])


def h2load(server, load, body):
    command = [*ON_LAST_CPU, 'h2load', '-n', str(LOADS[load]), *load.split(), '-d', body,
               '-H', 'content-type: application/grpc', '-H', 'te: trailers', server.url + PATH]
    text, used = server.loaded_by(command, 120)
    found = re.search(r'\((\d+)\) data', text or '')
    # A call that fails has no message, and its status is 200 all the same.
    answered = int(found[1]) // REPLY_BYTES if found else 0
    if not answered:
        fail(f'h2load failed on {server.url}: {text}')
    return {'us': used / answered * 1e6, 'failed': LOADS[load] - answered}


def table(runs, when, rounds):
    go = os.path.join(GO_SOURCES, 'src/google.golang.org/grpc/version.go')
    with open(go) as file:
        number = re.search(r'Version = "(\S+)"', file.read())[1]
    text = f'''
### gRPC, CPU a unary call in us (the health service's Check), one thread each, h2load; rounds: {rounds}

{when}; grpc-go {number}, GOMAXPROCS=1; median (least..most); the ratio is the median of those within a round.

| load | server | CPU a call | of grpc-go |
|---|---|---:|---:|
'''
    for load, servers in runs.items():
        for name, one in servers.items():
            ratio = median([{'us': a['us'] / b['us']} for a, b in zip(one, servers['grpc-go'])], 'us')
            text += f'| {load} | {name} | {cell(one, "us", 2)} | {ratio:.2f} |\n'
    return text

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
PATH, PROTO = '/echo.EchoService/Echo', os.path.join(ROOT, 'apps', 'src', 'testbed', 'grpc', 'proto')
# A message with an EchoRequest, not compressed: message "hello", timestamp 1 700 000 000 000 ms.
ECHO = b'\x0a\x05hello\x10' + b'\x80\xd0\x95\xff\xbc\x31'
BODY = b'\0' + len(ECHO).to_bytes(4, 'big') + ECHO
FIELDS = ['-H', 'content-type: application/grpc', '-H', 'te: trailers']
GO_SOURCES = '/usr/share/gocode'
SOURCES = f'{GO_SOURCES}/src/google.golang.org/grpc/server.go'


def prepare():
    # grpc-go of Debian 12 encodes by version 1.3 of Go's protobuf, whose generator is a package of its own.
    need('taskset=util-linux', 'h2load=nghttp2-client', 'go=golang-go', f'{SOURCES}=golang-google-grpc-dev',
         'protoc=protobuf-compiler', 'protoc-gen-go=protoc-gen-go-1-3')


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
        lengths = {name: data_of_calls(server, '-c 1 -m 1', 1, body)[0] for name, server in servers.items()}
        for number in range(rounds):
            for load in LOADS:
                for name, server in servers.items():
                    show_progress(f'{NAME}: grpc, round {number + 1} of {rounds}, {load}, {name}')
                    runs.setdefault(load, {}).setdefault(name, []).append(slice_of(server, load, body, lengths[name]))
            show_progress('')
            if (number + 1) % 5 == 0:
                say(f'grpc, {number + 1} of {rounds} rounds')
    failed = sum(one['failed'] for of_load in runs.values() for all_of in of_load.values() for one in all_of)
    return table(runs, when, rounds), failed


def grpc_go(folder, prefix):
    program, port = os.path.join(folder, 'grpc-go'), free_port()
    say('building the peer, grpc-go')
    package = os.path.join(folder, 'src', 'echo')
    os.makedirs(package)
    source = os.path.join(ROOT, 'scripts', 'grpc_peer', 'main.go')
    environment = os.environ | {'GO111MODULE': 'off', 'GOPATH': f'{folder}:{GO_SOURCES}',
                                'GOCACHE': os.path.join(folder, 'cache')}
    generate = ['protoc', '-I', PROTO, f'--go_out=plugins=grpc,paths=source_relative:{package}', 'echo.proto']
    for command in generate, ['go', 'build', '-o', program, source]:
        if run(command, 600, env=environment) is None:
            fail(f'{" ".join(command)} has failed')
    return Peer(port, [*prefix, 'env', 'GOMAXPROCS=1', program, str(port)])


def slice_of(server, load, body, length):
    data, used = data_of_calls(server, load, LOADS[load], body)
    # A call that fails has no message, and its status is 200 all the same.
    answered = data // length
    return {'us': used / answered * 1e6, 'failed': LOADS[load] - answered}


def data_of_calls(server, load, calls, body):
    """The bytes of DATA that answered, and the server's CPU seconds."""
    command = [*ON_LAST_CPU, 'h2load', '-n', str(calls), *load.split(), '-d', body, *FIELDS, server.url + PATH]
    text, used = server.loaded_by(command, 120)
    found = re.search(r'\((\d+)\) data', text or '')
    if not found or found[1] == '0':
        fail(f'h2load failed on {server.url}: {text}')
    return int(found[1]), used


def table(runs, when, rounds):
    go = os.path.join(GO_SOURCES, 'src/google.golang.org/grpc/version.go')
    with open(go) as file:
        number = re.search(r'Version = "(\S+)"', file.read())[1]
    text = f'''
### gRPC, CPU a unary call in us (EchoService/Echo of 5 bytes), one thread each, h2load; rounds: {rounds}

{when}; grpc-go {number}, GOMAXPROCS=1; median (least..most); the ratio is the median of those within a round.

| load | server | CPU a call | of grpc-go |
|---|---|---:|---:|
'''
    for load, servers in runs.items():
        for name, one in servers.items():
            ratio = median([{'us': a['us'] / b['us']} for a, b in zip(one, servers['grpc-go'])], 'us')
            text += f'| {load} | {name} | {cell(one, "us", 2)} | {ratio:.2f} |\n'
    return text

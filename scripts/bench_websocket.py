"""scripts/bench websocket: an echo of messages by tine, beside Python's websockets and a loop of threads around
tungstenite. Each server has one CPU, the client another; the result is the server's CPU time for a message."""
import os
import re
import statistics
import subprocess
import time

from bench_journal import cell, median, taken, version
from harness import NAME, ROOT, Served, Tine, build, cpu_seconds, end, fail, need, python_with, say, show_progress, start

SIZES = (64, 16 << 10)
CONNECTIONS = (1, 64)
WINDOWS = (1, 16)


def prepare():
    need('taskset=util-linux', 'strace')
    if len(os.sched_getaffinity(0)) < 2:
        fail('websocket needs two CPUs, one for each side')
    websockets()


def entry(_, choice):
    """The text of the part, and the number of failed runs."""
    head = f'\n### WebSocket echo\n\n- {taken()}\n'
    binaries = os.path.dirname(build('--bin', 'tine', '--example', 'websocket_load', '--example', 'websocket_threads'))
    rounds = choice.rounds or (2 if choice.quick else 5)
    seconds = 0.5 if choice.quick else 1
    server_cpu, client_cpu = sorted(os.sched_getaffinity(0))[:2]
    pinned = ['taskset', '-c', str(server_cpu)]
    load = ['taskset', '-c', str(client_cpu), f'{binaries}/examples/websocket_load']
    with Tine(f'{binaries}/tine', '--workers', '1', prefix=pinned) as tine, \
            Speaker([*pinned, websockets(), f'{ROOT}/scripts/bench_websocket_peer.py']) as python, \
            Speaker([*pinned, f'{binaries}/examples/websocket_threads']) as threads:
        servers = {'tine': tine, 'websockets': python, 'threads': threads}
        runs, failed = measure(servers, load, rounds, seconds)
        calls = count_calls(servers, load)
    return head + table(runs, rounds, seconds) + calls_table(calls), failed


def websockets():
    """A Python with websockets."""
    return python_with('websockets')


class Speaker(Served):
    """A server that prints its address in its first line; for `with`."""

    def __init__(self, command):
        self.process = start(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url.startswith('http://'):
            fail(f'{command[-1]} did not start')


def exchange(server, load, shape, seconds, around=None):
    """One run: messages and seconds, and the server's CPU seconds; None if it failed. `around` is called when all are
    connected, and what it returned is called when all messages are back."""
    size, connections, window = shape
    command = [*load, server.url.removeprefix('http://'), '/ws', *map(str, (connections, size, window, seconds))]
    client = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, text=True)
    try:
        if client.stdout.readline() != 'ready\n':
            return None
        after = around() if around else None
        pids = server.processes()
        before = cpu_seconds(pids)
        client.stdin.write('\n')
        client.stdin.flush()
        said = client.stdout.readline().split()  # ends by itself: it never waits longer than ten seconds
        if not said:
            return None
        cpu = cpu_seconds(pids) - before
        if after:
            after()
        count, took = int(said[0]), float(said[1])
        return {'count': count, 'rate': count / took, 'per_cpu': count / cpu, 'us': cpu / count * 1e6,
                'busy': 100 * cpu / took}
    finally:
        client.stdin.close()
        end(client)


def measure(servers, load, rounds, seconds):
    """{(size, connections, window): {server: [runs]}}, and the number of failed runs."""
    runs, failed = {}, 0
    for shape in ((size, connections, window) for size in SIZES for connections in CONNECTIONS for window in WINDOWS):
        what = f'{shape[0]} B, {shape[1]} connections, {shape[2]} in flight'
        runs[shape] = {name: [] for name in servers}
        for number in range(rounds):
            for name, server in servers.items():
                show_progress(f'{NAME}: {what}, round {number + 1} of {rounds}, {name}')
                one = exchange(server, load, shape, seconds)
                show_progress('')
                if one:
                    runs[shape][name].append(one)
                else:
                    say(f'{what}: {name} FAILED')
                    failed += 1
        medians = (f'{name} {median(some, "per_cpu"):.0f}' for name, some in runs[shape].items() if some)
        say(f'{what}: {", ".join(medians)} messages per CPU second')
    return runs, failed


# System calls


def count_calls(servers, load):
    """{(shape, server): the calls of a message, by kind}; separate passes, since strace slows everything down."""
    calls = {}
    for shape in ((size, connections, window) for size in SIZES for connections, window in ((1, 1), (64, 16))):
        for name, server in servers.items():
            show_progress(f'{NAME}: system calls, {name}')
            with open(os.path.join(ROOT, 'target', 'bench', 'strace'), 'w+') as report:
                one = exchange(server, load, shape, 1, lambda: traced(server, report))
                report.seek(0)
                calls[shape, name] = by_kind(report.read(), one['count']) if one else 'failed'
    show_progress('')
    return calls


def traced(server, report):
    """Counts the calls of the server's threads from now on; the function it returns ends that."""
    pids = server.processes()
    attach = [word for pid in pids for word in ('-p', str(pid))]
    process = start(['strace', '-c', '-f', '-q', '-U', 'calls,name', *attach], stderr=report)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and process.poll() is None and not all(map(is_traced, pids)):
        time.sleep(0.02)
    return lambda: end(process)


def is_traced(pid):
    """All its threads."""
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status') as status:
            if 'TracerPid:\t0\n' in status.read():
                return False
    return True


def by_kind(report, messages):
    counts = {name: int(count) for count, name in re.findall(r'^\s*(\d+) (\w+)$', report, re.M) if name != 'total'}
    if not counts:
        return 'strace may not attach'
    kinds = sorted(((count / messages, name) for name, count in counts.items()), reverse=True)
    return (f'{sum(counts.values()) / messages:.2f}: '
            + ', '.join(f'{name} {count:.2f}' for count, name in kinds if count >= 0.005))


# The tables


def table(runs, rounds, seconds):
    said = version(r'(.*)', websockets(), '-c', 'import platform, websockets; '
                   'print("websockets", websockets.__version__, "on Python", platform.python_version())')
    with open(os.path.join(ROOT, 'Cargo.lock')) as lock:
        tungstenite = re.search(r'name = "tungstenite"\nversion = "(.*)"', lock.read())[1]
    text = f'''- tine with one worker; {said}, asyncio, one process; threads: blocking sockets, a thread a connection, \
tungstenite {tungstenite} (cli/examples/websocket_threads.rs). Each on one CPU, the client \
(cli/examples/websocket_load.rs, which compares every byte) on another; no compression
- {rounds} rounds of {seconds} s in turn: median (least..most); "of tine" is the median of the ratios within a round

| bytes | connections | in flight on each | server | messages per server CPU s | of tine | CPU us/message | messages/s \
| server CPU % |
|---:|---:|---:|---|---:|---:|---:|---:|---:|
'''
    for (size, connections, window), servers in runs.items():
        for name, some in servers.items():
            cells = [str(size), str(connections), str(window), name]
            if len(some) < rounds:
                text += '| ' + ' | '.join([*cells, f'{rounds - len(some)} of {rounds} runs failed']) + ' |||||\n'
                continue
            ratio = ''
            if len(servers['tine']) == rounds:
                ratio = statistics.median(one['per_cpu'] / ours['per_cpu'] for one, ours in zip(some, servers['tine']))
                ratio = f'{ratio:.2f}'
            cells += [cell(some, 'per_cpu'), ratio, cell(some, 'us', 2), cell(some, 'rate'), cell(some, 'busy')]
            text += '| ' + ' | '.join(cells) + ' |\n'
    return text


def calls_table(calls):
    text = '''
System calls of a message, by strace -c in a pass of its own (so that more of them find several messages):

| bytes | connections | in flight on each | server | calls |
|---:|---:|---:|---|---|
'''
    for (shape, name), kinds in calls.items():
        text += '| ' + ' | '.join([*map(str, shape), name, kinds]) + ' |\n'
    return text

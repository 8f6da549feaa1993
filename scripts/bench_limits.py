"""scripts/bench limits: what it costs that requests are admitted by the limits of the whole server, and by those of each client."""
import os
import random
import statistics

import bench_floor
from bench_journal import median, middle, taken
from bench_logs import fire
from harness import NAME, Tine, need, say, show_progress

# Higher than any load reaches: what is measured is to be admitted, never to wait. The logs of such rates are memory that is used for
# the first time, which costs some more than to use it again.
SERVER = ['--limit-concurrency', '1000', '--limit-rate', '1000000/s']
CLIENTS = ['--limit-client-concurrency', '500', '--limit-client-rate', '1000000/s']
# Twice without, which shows how much is chance.
LIMITS = {'off': [], 'off again': [], 'server': SERVER, 'server and clients': SERVER + CLIENTS}
WORKERS = (1, 4)
ROUNDS_OF_A_START = 15


def prepare():
    need('taskset=util-linux')
    bench_floor.program('fire')


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    starts, seconds = choice.rounds or (3 if choice.quick else 12), os.environ.get('SECS', '0.1')
    first, failed, text = taken(), 0, ''
    for workers in WORKERS:
        runs = {name: [] for name in LIMITS}
        for number in range(starts):
            show_progress(f'{NAME}: limits, {workers} {"worker" if workers == 1 else "workers"}, start {number + 1} of {starts}')
            failed += start(binary, workers, seconds, runs)
        show_progress('')
        say(f'limits, {workers}: ' + ', '.join(f'{name} {median(one, "us"):.2f} us' for name, one in runs.items()))
        for name, one in runs.items():
            ratios = [{'of': run['us'] / base['us']} for run, base in zip(one, runs['off'])]
            text += f'| {workers} | {name} | {middle(one, "us", 2)} | {middle(ratios, "of", 3) if name != "off" else ""} |\n'
    return f'''
### Limits, CPU a request in us, `fire -c 64`, GET /ip, which none exempts; starts: {starts}, of {ROUNDS_OF_A_START} rounds of {seconds} s

{first}; medians of the starts (the middle half): where a process lies in memory costs it as much as a limit. One worker has a CPU, and
the client never sleeps; four have all CPUs, also the client's, which sleeps.

| workers | limits | CPU a request | of that without |
|---:|---|---:|---:|
{text}''', failed


def start(binary, workers, seconds, runs):
    """Adds the medians of a process of each kind, measured in turn. Returns the number of failed requests."""
    alone = workers == 1
    prefix = ['taskset', '-c', os.environ.get('CPUS', '0')] if alone else []
    names, servers, rounds = list(LIMITS), {}, {name: [] for name in LIMITS}
    random.shuffle(names)
    try:
        for name in names:
            servers[name] = Tine(binary, '--workers', str(workers), *LIMITS[name], prefix=prefix)
        for _ in range(ROUNDS_OF_A_START):
            for name, server in servers.items():
                rounds[name].append(fire(server, seconds, '/ip', sleeps=not alone))
    finally:
        for server in servers.values():
            server.__exit__()
    for name, all_of in rounds.items():
        runs[name].append({'us': statistics.median(one['us'] for one in all_of)})
    return sum(one['failed'] for all_of in rounds.values() for one in all_of)

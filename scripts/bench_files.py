"""scripts/bench files: what a static file that is asked for again and again costs, tine and nginx in turn."""
import os
import shutil
import tempfile
import time

import bench_floor
from bench_journal import cell, median, taken, version
from bench_logs import fire
from bench_nginx import Nginx, need_nginx
from harness import NAME, Tine, need, say, show_progress

SIZES = {'4 KiB': 4 << 10, '16 KiB': 16 << 10, '64 KiB': 64 << 10}
# As long as tine's.
CACHE = 'open_file_cache max=1000 inactive=60s; open_file_cache_valid 1s;'


def prepare():
    need('taskset=util-linux')
    need_nginx()
    bench_floor.program('fire')


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    rounds, seconds = choice.rounds or (3 if choice.quick else 9), os.environ.get('SECS', '1')
    prefix, first = ['taskset', '-c', os.environ.get('CPUS', '0')], taken()
    # In memory, and readable by nginx's worker, which is another user's.
    directory = tempfile.mkdtemp(prefix='tine-', dir='/dev/shm')
    os.chmod(directory, 0o755)
    for name, size in SIZES.items():
        path = os.path.join(directory, name.replace(' ', ''))
        with open(path, 'wb') as file:
            file.write(b'x' * size)
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
    files, servers, runs = f'location / {{ root {directory}; sendfile on; tcp_nopush on; }}', {}, {}
    try:
        servers['nginx'] = Nginx(1, prefix=prefix, locations=files)
        servers['nginx, open_file_cache'] = Nginx(1, prefix=prefix, locations=files, http=CACHE)
        for name, time_kept in (('tine', '1s'), ('tine, --static-cache 0', '0')):
            options = ('--workers', '1', '--static', directory, '--static-cache', time_kept)
            servers[name] = Tine(binary, *options, prefix=prefix)
        for number in range(rounds):
            for size in SIZES:
                for name, server in servers.items():
                    show_progress(f'{NAME}: files, round {number + 1} of {rounds}, {size}, {name}')
                    one = fire(server, seconds, '/' + size.replace(' ', ''))
                    runs.setdefault(size, {}).setdefault(name, []).append(one)
            show_progress('')
            say(f'files, round {number + 1} of {rounds}')
    finally:
        for server in servers.values():
            server.__exit__()
        shutil.rmtree(directory, ignore_errors=True)
    failed = sum(one['failed'] for of_size in runs.values() for all_of in of_size.values() for one in all_of)
    return table(runs, first, rounds, seconds), failed


def table(runs, first, rounds, seconds):
    nginx = version(r'nginx/(\S+)', 'nginx', '-v')
    text = f'''
### Static files, CPU a request in us, one worker each, `fire -c 64`; rounds: {rounds} of {seconds} s

{first}; nginx {nginx}; median (least..most); the ratio is the median of those within a round.

| file | server | CPU a request | of nginx | requests/s |
|---|---|---:|---:|---:|
'''
    for size, servers in runs.items():
        for name, one in servers.items():
            of_nginx = median([{'us': a['us'] / b['us']} for a, b in zip(one, servers['nginx'])], 'us')
            text += f'| {size} | {name} | {cell(one, "us", 2)} | {of_nginx:.2f} | {cell(one, "rps")} |\n'
    return text

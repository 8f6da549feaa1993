"""scripts/bench logs: what a line of the access log costs, tine and nginx in turn, and what a reader that stops costs."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import bench_floor
from bench_journal import median, middle, taken, version
from bench_nginx import Nginx, need_nginx
from harness import NAME, ON_LAST_CPU, Served, Tine, end, fail, need, say, show_progress, start

# nginx's own `combined`; the fields of tine's json that nginx has.
JSON = ('log_format json escape=json \'{"time":"$time_iso8601","client_address":"$remote_addr",'
        '"client_port":$remote_port,"http_request_method":"$request_method","url_path":"$uri","url_query":"$args",'
        '"host":"$http_host","network_protocol_version":"$server_protocol","http_response_status_code":$status,'
        '"http_request_size":$request_length,"http_response_size":$bytes_sent,'
        '"http_response_body_size":$body_bytes_sent,"duration":$request_time,"outcome":"$request_completion",'
        '"referer":"$http_referer","user_agent_original":"$http_user_agent","process_pid":$pid}\';')
FORMATS = ('combined', 'json')
READERS = ('read', 'stopped')


def prepare():
    need('taskset=util-linux')
    need_nginx()
    bench_floor.program('fire')


class Piped(Served):
    """tine whose access log is a pipe, and what reads that."""

    def __init__(self, binary, *options, prefix=()):
        self.directory = tempfile.mkdtemp(prefix='tine-')
        log = os.path.join(self.directory, 'log')
        self.reader = start(['cat'], stdin=subprocess.PIPE)
        with open(log, 'w') as stderr:
            command = [*prefix, binary, 'run', '0', '--access-log', '-', *options]
            self.process = start(command, stdout=self.reader.stdin, stderr=stderr)
        self.reader.stdin.close()
        deadline = time.monotonic() + 20
        while not (found := re.search(r'(http://127\.0\.0\.1:\d+)', open(log).read())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f'tine did not start; its log:\n{open(log).read()}')
            time.sleep(0.01)
        self.url = found[1]

    def __exit__(self, *_):
        self.reader.send_signal(signal.SIGCONT)
        super().__exit__()
        end(self.reader)


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    # Many and short: a machine that others use, too, drifts within seconds, and neighbours in time are compared.
    rounds, seconds = choice.rounds or (30 if choice.quick else 200), os.environ.get('SECS', '0.1')
    prefix, first, runs = ['taskset', '-c', os.environ.get('CPUS', '0')], taken(), {}
    directory = tempfile.mkdtemp(prefix='tine-')
    servers = {}
    try:
        servers['tine'] = Tine(binary, '--workers', '1', prefix=prefix)
        for form in FORMATS:
            log = ['--access-log', f'{directory}/{form}', '--access-log-format', form]
            servers[f'tine, {form}'] = Tine(binary, '--workers', '1', *log, prefix=prefix)
        servers['nginx'] = Nginx(1, prefix=prefix)
        for form in FORMATS:
            log = f'access_log {directory}/nginx-{form} {form} buffer=64k flush=1s;'
            # Of the location, as the whole server has none.
            servers[f'nginx, {form}'] = Nginx(1, prefix=prefix, http=JSON, locations=log)
        for reader in READERS:
            servers[f'tine, {reader}'] = Piped(binary, '--workers', '1', prefix=prefix)
        for number in range(rounds):
            for name, server in servers.items():
                show_progress(f'{NAME}: logs, round {number + 1} of {rounds}, {name}')
                if name == 'tine, stopped':
                    server.reader.send_signal(signal.SIGSTOP)
                runs.setdefault(name, []).append(fire(server, seconds))
                empty(directory)
            show_progress('')
            if (number + 1) % 10 == 0:
                say(f'logs, {number + 1} of {rounds} rounds: '
                    + ', '.join(f'{name} {median(one, "us"):.2f} us' for name, one in runs.items()))
    finally:
        for server in servers.values():
            server.__exit__()
        shutil.rmtree(directory, ignore_errors=True)
    return table(runs, first, rounds, seconds), sum(one['failed'] for all_of in runs.values() for one in all_of)


def empty(directory):
    """The disk is not what is measured."""
    for name in os.listdir(directory):
        os.truncate(os.path.join(directory, name), 0)


def fire(server, seconds, path='/health', sleeps=False):
    """`sleeps`: the client does while it waits. A server that wakes it pays for that, the more often the slower it is."""
    options = [] if sleeps else ['-s']
    command = [os.path.join(bench_floor.PEERS, 'fire'), *options, '-c', '64', '-t', seconds, f'{server.url}{path}']
    text, used = server.loaded_by([*ON_LAST_CPU, *command], 60 + float(seconds))
    found = re.search(r'rps (\S+) responses (\d+) errors (\d+)', text or '')
    if not found or found[2] == '0':
        fail(f'fire failed on {server.url}: {text}')
    return {'rps': float(found[1]), 'us': used / int(found[2]) * 1e6, 'failed': int(found[3])}


def more(runs, name, base):
    return [{'us': one['us'] - other['us']} for one, other in zip(runs[name], runs[base])]


def table(runs, first, rounds, seconds):
    nginx = version(r'nginx/(\S+)', 'nginx', '-v')
    text = f'''
### The access log, CPU a request in us, one worker each, `fire -c 64`; rounds: {rounds} of {seconds} s

{first}; nginx {nginx}, `buffer=64k flush=1s`; median (the middle half).

| | CPU a request | more than without a log | requests/s |
|---|---:|---:|---:|
'''
    for name, one in runs.items():
        base = name.partition(',')[0]
        extra = middle(more(runs, name, base), 'us', 2) if name != base else ''
        text += f'| {name} | {middle(one, "us", 2)} | {extra} | {middle(one, "rps")} |\n'
    ratio = median([{'ratio': a['rps'] / b['rps']} for a, b in zip(runs['tine, stopped'], runs['tine, read'])], 'ratio')
    return text + f'\n`read` and `stopped`: the log is a pipe; with its reader stopped the rate is {ratio:.3f} of that with it.\n'

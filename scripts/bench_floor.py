"""scripts/bench floor: tine as one more row of the tables of scripts/floor, beside the floor and the peers."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from harness import ROOT, Tine, end, fail, free_port, need, say, start

FLOOR = os.path.join(ROOT, 'scripts', 'floor')
PEERS = os.environ.get('PEERS') or os.path.join(ROOT, os.environ.get('CARGO_TARGET_DIR', 'target'), 'bench', 'floor')
SECTIONS = ('small64', 'fire64', 'pipeline', 'close', 'bulk', 'syscalls')


def prepare():
    need('wrk', 'strace', 'taskset=util-linux', 'nginx', 'h2o', 'perf=linux-perf')
    for name in ('limit', 'fire', 'sink'):
        program(name)
    for name in ('may', 'hyper'):
        if not built(name):  # the others can still be compared
            say(f'floor: without {name}, which could not be built')


def program(name):
    """The path of one of the C programs of scripts/floor, compiled if necessary."""
    need('gcc=gcc libc6-dev')
    if not built(name):
        fail(f'scripts/floor/peers.sh build {name} failed')
    return os.path.join(PEERS, name)


def built(name):
    """Whether peers.sh could build it; fast if it is there already."""
    say_so = name in ('may', 'hyper') and not os.path.exists(f'{PEERS}/target/release/{name}-hello')
    if say_so:
        say(f'building {name}, whose crates come from the registry; about a minute')
    command = [f'{FLOOR}/peers.sh', 'build', name]
    environment = os.environ | {'PEERS': PEERS}
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, timeout=900).returncode == 0


def free_range():
    """A free port with fifteen free ones above it: peers.sh counts up from it."""
    while True:
        port = free_port()
        try:
            for above in range(port, min(port + 16, 65536)):
                with socket.socket() as listener:
                    listener.bind(('127.0.0.1', above))
            if port < 65500:
                return port
        except OSError:
            continue


def peers():
    """The usual peers of the floor whose programs are installed."""
    built = f'{PEERS}/target/release/'
    programs = {'nginx': 'nginx', 'may': f'{built}may-hello', 'hyper': f'{built}hyper-hello', 'h2o': 'h2o'}
    return ['limit', 'limitdefer'] + [name for name, program in programs.items() if shutil.which(program)]


def entry(binary, choice):
    """The tables of baseline.sh, with tine as one more row of each. No request of theirs is counted here."""
    rounds, seconds = os.environ.get('ROUNDS', str(choice.rounds or (3 if choice.quick else 9))), os.environ.get('SECS', '1')
    directory = tempfile.mkdtemp(prefix='tine-')
    files = '/dev/shm/perf-files'  # 1.1 GiB; reused if present
    if not os.path.exists(f'{files}/1G'):
        files = f'/dev/shm/{os.path.basename(directory)}'
    names = peers()
    environment = os.environ | {'PEERS': PEERS, 'PERF_RUN': directory, 'PORT0': str(free_range()), 'FILES': files, 'ROUNDS': rounds,
                                'SECS': seconds, 'ONLY': ','.join([*names, 'tine'])}
    text = f'\n### Beside the floor, one worker each on CPU 0; rounds: {rounds} of {seconds} s\n'
    try:
        say(f'starting {", ".join(names)}')
        subprocess.run([f'{FLOOR}/peers.sh', 'start', *names], env=environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=120)
        with Tine(binary, '--workers', '1', prefix=['taskset', '-c', '0']) as tine:
            if os.environ.get('PRIO'):
                with open(f'/proc/{tine.pid}/autogroup', 'w') as group:
                    group.write(os.environ['PRIO'])
            row = f'name=tine,pid={tine.pid},small={tine.url}/health,bulk={tine.url}/bin/1G'
            for section in SECTIONS:
                only = ['limit', 'limitsf', 'limitsp', *names[2:], 'tine'] if section == 'bulk' else \
                    [name for name in names if name != 'limitdefer' or section == 'close'] + ['tine']
                text += f'\n**{section}**\n\n' + run_section(section, row, ','.join(only), environment)
    finally:
        subprocess.run([f'{FLOOR}/peers.sh', 'stop'], env=environment, stdin=subprocess.DEVNULL, timeout=30)
        shutil.rmtree(directory, ignore_errors=True)
        if files != '/dev/shm/perf-files':
            shutil.rmtree(files, ignore_errors=True)
    return text, 0


def run_section(section, row, only, environment):
    say(f'floor: {section}')
    # What baseline.sh's own --only names lacks tine: the last one counts.
    process = start([f'{FLOOR}/baseline.sh', section, '--', '--sut', row, '--only', only], env=environment,
                    stdout=subprocess.PIPE, stderr=None if sys.stderr.isatty() else subprocess.DEVNULL, text=True)
    try:
        output = process.communicate(timeout=1200)[0].strip()
    except subprocess.TimeoutExpired:
        output = ''
    end(process)
    if process.returncode or not output:
        say(f'floor: {section} failed; {FLOOR}/baseline.sh {section} shows why')
        return 'failed\n'
    return output + '\n'

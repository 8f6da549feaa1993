"""scripts/bench floor: tine as one more row of the tables of ../shared/perf, beside the floor and the peers."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from harness import ROOT, Tine, end, fail, free_port, say, start

PERF = os.path.join(ROOT, '..', 'shared', 'perf')


def prepare():
    lacking = lacks()
    if lacking:
        fail(lacking)


def lacks():
    """What is missing for it, in one line; None when nothing is."""
    if not os.path.exists(f'{PERF}/baseline.sh'):
        return 'floor needs ../shared/perf (baseline.sh, peers.sh and what they run)'
    peers = os.environ.get('PEERS')
    if not peers:
        return 'floor needs PEERS, the folder of the binaries that ../shared/perf/peers.sh build makes'
    tools = [f'{peers}/{name}' for name in ('limit', 'fire', 'sink')] + ['wrk', 'taskset']
    lacking = [os.path.basename(tool) for tool in tools if not shutil.which(tool)]
    return f'floor lacks {", ".join(lacking)}; ../shared/perf/README.md says where they come from' if lacking else None


def free_range():
    """A port with the fifteen above it free: peers.sh counts up from it."""
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
    """Those of the floor's usual company whose programs are here."""
    built = os.environ['PEERS'] + '/target/release/'
    programs = {'nginx': 'nginx', 'may': f'{built}may-hello', 'hyper': f'{built}hyper-hello', 'h2o': 'h2o'}
    return ['limit', 'limitdefer'] + [name for name, program in programs.items() if shutil.which(program)]


def entry(binary, choice):
    """The tables of baseline.sh, with tine as one more row of each. No request of theirs is counted here."""
    rounds, seconds = os.environ.get('ROUNDS', str(choice.rounds or (3 if choice.quick else 9))), os.environ.get('SECS', '1')
    folder = tempfile.mkdtemp(prefix='tine-')
    files = '/dev/shm/perf-files'  # 1.1 GiB; used as they are when they are there
    if not os.path.exists(f'{files}/1G'):
        files = f'/dev/shm/{os.path.basename(folder)}'
    names = peers()
    environment = os.environ | {'PERF_RUN': folder, 'PORT0': str(free_range()), 'FILES': files, 'ROUNDS': rounds,
                                'SECS': seconds, 'ONLY': ','.join([*names, 'tine'])}
    text = f'\n### Beside the floor, one worker each on CPU 0; rounds: {rounds} of {seconds} s\n'
    try:
        say(f'starting {", ".join(names)}')
        subprocess.run([f'{PERF}/peers.sh', 'start', *names], env=environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=120)
        with Tine(binary, '--workers', '1', prefix=['taskset', '-c', '0']) as tine:
            if os.environ.get('PRIO'):
                with open(f'/proc/{tine.pid}/autogroup', 'w') as group:
                    group.write(os.environ['PRIO'])
            row = f'name=tine,pid={tine.pid},small={tine.url}/health,bulk={tine.url}/bin/1G'
            for section in ('fire64', 'pipeline', 'close', 'bulk', 'syscalls'):
                only = ['limit', 'limitsf', 'limitsp', *names[2:], 'tine'] if section == 'bulk' else \
                    [name for name in names if name != 'limitdefer' or section == 'close'] + ['tine']
                text += f'\n**{section}**\n\n' + run_section(section, row, ','.join(only), environment)
    finally:
        subprocess.run([f'{PERF}/peers.sh', 'stop'], env=environment, stdin=subprocess.DEVNULL, timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
        if files != '/dev/shm/perf-files':
            shutil.rmtree(files, ignore_errors=True)
    return text, 0


def run_section(section, row, only, environment):
    say(f'floor: {section}')
    # What baseline.sh's own --only names lacks tine: the last one counts.
    process = start([f'{PERF}/baseline.sh', section, '--', '--sut', row, '--only', only], env=environment,
                    stdout=subprocess.PIPE, stderr=None if sys.stderr.isatty() else subprocess.DEVNULL, text=True)
    try:
        output = process.communicate(timeout=1200)[0].strip()
    except subprocess.TimeoutExpired:
        output = ''
    end(process)
    if process.returncode or not output:
        say(f'floor: {section} failed; {PERF}/baseline.sh {section} says why')
        return 'failed\n'
    return output + '\n'

"""What scripts/backpressure and scripts/bench share: building tine, starting and ending it and other servers, reading
their memory. Everything that is started here ends with the script, even if the script is interrupted; all servers
listen on 127.0.0.1 only, on ports that the system chooses."""
import atexit
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAME = os.path.basename(sys.argv[0])
MIB = 1 << 20

# A client is pinned to this CPU, the last one, beside a server that is pinned to another.
ON_LAST_CPU = ('taskset', '-c', str(max(os.sched_getaffinity(0))))

running = []  # all process groups that may have to be ended


def say(text):
    """Progress; results go to standard output."""
    print(f'{NAME}: {text}', file=sys.stderr, flush=True)


def fail(text):
    say(text)
    sys.exit(1)


def show_progress(text):
    """A line that the next one replaces; only on a terminal."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def need(*commands):
    """Installs the Debian packages of the commands that are missing: 'curl' or 'ps=procps'."""
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    lib = os.path.join(ROOT, 'scripts', 'lib.sh')
    if subprocess.run(['bash', '-c', '. "$1"; shift; need "$@"', NAME, lib, *commands]).returncode:
        sys.exit(1)


def python_with(*packages):
    """A Python that has these packages of PyPI, in an environment that is made once, in target/."""
    environment = os.path.join(ROOT, os.environ.get('CARGO_TARGET_DIR', 'target'), 'python-' + '-'.join(packages))
    lib = os.path.join(ROOT, 'scripts', 'lib.sh')
    if subprocess.run(['bash', '-c', '. "$1"; shift; need_python "$@"', NAME, lib, environment, *packages]).returncode:
        sys.exit(1)
    return os.path.join(environment, 'bin', 'python')


def use_packages(*packages):
    """Goes on in such a Python."""
    python = python_with(*packages)
    environment = os.path.dirname(os.path.dirname(python))
    if sys.prefix not in (environment, os.path.realpath(environment)):
        os.execv(python, [python, *sys.argv])


def build(*targets, flags='', seconds_max=1800):
    """Makes a release build of tine, showing progress if it takes long, and returns its path; or of `targets`. `flags`:
    for rustc, beside those of the environment."""
    targets = targets or ('--bin', 'tine')
    environment = os.environ | ({'RUSTFLAGS': f'{os.environ.get("RUSTFLAGS", "")} {flags}'.strip()} if flags else {})
    try:
        process = start(['cargo', 'build', '--release', '--locked', '--quiet', '-p', 'tine-cli', *targets],
                        cwd=ROOT, stderr=None, env=environment)
    except FileNotFoundError:
        fail('cargo is missing: https://rustup.rs installs it')
    begin = time.monotonic()
    while process.poll() is None:
        seconds = time.monotonic() - begin
        if seconds > seconds_max:
            fail(f'the build did not finish within {seconds_max // 60} minutes')
        if seconds > 1:
            show_progress(f'{NAME}: cargo build --release, {seconds:.0f} s')
        time.sleep(0.1)
    show_progress('')
    if process.returncode:
        fail('the build failed')
    target = os.environ.get('CARGO_TARGET_DIR', 'target')
    return os.path.join(ROOT, target, 'release', 'tine')


def start(command, **options):
    """A process in a session of its own, ended with its whole group when the script ends."""
    options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL} | options
    process = subprocess.Popen(command, start_new_session=True, **options)
    running.append(process)
    return process


def end(process, grace_seconds=3):
    """Sends TERM to its group, then KILL to what is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass
    process.wait()
    if process in running:
        running.remove(process)


def run(command, seconds, **options):
    """Runs it to its end and returns its output; None if it failed or took longer."""
    process = start(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        output = process.communicate(timeout=seconds)[0]
        return output if process.returncode == 0 else None
    except subprocess.TimeoutExpired:
        return None
    finally:
        end(process)


@atexit.register
def end_all():
    for process in list(running):
        end(process, 1)


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: sys.exit(128 + number))


class Served:
    """A server that was started as `process`, with a `directory` of its own or without; for `with`."""
    directory = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self):
        """It and its descendants."""
        return processes(self.process.pid)

    def loaded_by(self, command, seconds_max):
        """Runs a client to its end: its output, None if it failed, and the CPU time that the server used meanwhile."""
        before = cpu_seconds(self.processes())
        text = run(command, seconds_max)
        return text, cpu_seconds(self.processes()) - before


class Tine(Served):
    """`tine run 0` with these options, or with this application, ready to serve; for `with`."""

    def __init__(self, binary, *options, prefix=(), app=None):
        self.directory = tempfile.mkdtemp(prefix='tine-')
        stdout, self.log = (os.path.join(self.directory, name) for name in ('stdout', 'log'))
        environment = {key: value for key, value in os.environ.items() if not key.startswith('TINE_')}
        with open(stdout, 'w') as out, open(self.log, 'w') as log:
            self.process = start([*prefix, binary, 'run', *([app] if app else []), '0', *options], stdout=out, stderr=log, env=environment)
        self.pid = self.process.pid
        deadline = time.monotonic() + 20
        while True:
            text = open(stdout).read()
            found = re.search(r'^  (http://127\.0\.0\.1:\d+)$', text, re.M)
            if found and 'Stop:' in text:
                self.url = found[1]
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                say(f'tine did not start; its log:\n{open(self.log).read()}')
                self.__exit__()
                sys.exit(1)
            time.sleep(0.01)

    def resident_kib(self):
        """Resident memory of all processes together, as ps adds it up, but exact: VmRSS lags by some pages a CPU."""
        return sum(map(resident_kib, self.processes()))


def processes(pid):
    """This process and its descendants."""
    below = []
    for task in glob.glob(f'/proc/{pid}/task/*/children'):
        try:
            with open(task) as children:
                below += [number for child in children.read().split() for number in processes(int(child))]
        except OSError:  # the thread has ended
            pass
    return [pid, *below]


def cpu_seconds(pids):
    """The CPU time that all threads of these processes have used so far, in nanoseconds (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def resident_kib(pid):
    for name, field in (('smaps_rollup', 'Rss'), ('status', 'VmRSS')):
        try:
            with open(f'/proc/{pid}/{name}') as lines:
                return int(re.search(rf'^{field}:\s+(\d+) kB', lines.read(), re.M)[1])
        except (OSError, TypeError):
            continue
    return 0


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]

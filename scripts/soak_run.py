"""The run of scripts/soak: the load, what is done to the server, the samples, and the verdict."""
import asyncio
import glob
import json
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.request

import soak_chart
from harness import NAME, Tine, cpu_seconds, processes, run, say, show_progress
from paced_load import percentile
from soak_load import MixedLoad

# What is done to the server, and how often each.
DEEDS = (('kill', 4), ('reload', 4), ('reopen-logs', 2), ('upgrade', 1))
SAMPLES_MAX = 1000
# A connection that ends within this long of a kill was the killed worker's.
LOST_WITHIN_SECONDS = 3
# What memory may grow by, from the second fifth of the run to the last.
GROWTH_MAX, GROWTH_MIB_MAX = 1.15, 4
LATENCY_GROWTH_MAX, LATENCY_GROWTH_MS_MAX = 2, 5
LATENCIES_COUNT_FROM_SECONDS = 600
# After the load, all processes together may use this much of a CPU: a loop that does not sleep uses more.
IDLE_SECONDS, IDLE_CPU_MAX = 2, 0.05
# The server's last process may be about to end when `ctl stop` says that it has stopped.
LEFT_SECONDS_MAX = 5
# Everything that watches and limits is on; the load is seldom over the limits.
OPTIONS = ('--worker-timeout', '30s', '--log-level', 'info', '--admin', '0', '--limit-concurrency', '12',
           '--limit-rate', '1000/s', '--limit-wait', '10s', '--limit-memory', '4G', '--limit-client-rate', '1000/s',
           '--ratelimit-headers', '--request-id', '--slow-log', '20s', '--access-log-format', 'json')
# Requests that may cross the end of their idle connection, for each time that workers are told to leave or are killed.
CROSSED_MAX = 4
# What a worker that is killed may lose of the access log: the lines of one turn.
LINES_LOST_MAX = 64
COUNTER = re.compile(r'^(\S+_(?:total|count|bucket)(?:{.*})?) (\S+)$', re.M)
FINDINGS_SHOWN_MAX = 10


def soak(choice, binary):
    say(f'seed {choice.seed}, {choice.seconds:.0f} s, {choice.workers} workers')
    with tempfile.TemporaryDirectory(prefix='tine-soak-') as logs:
        log = os.path.join(logs, 'access.log')
        with Tine(binary, '--workers', str(choice.workers), '--access-log', log, *OPTIONS) as tine:
            server = Server(binary, tine, log)
            soaking = Soaking(choice, server)
            asyncio.run(soaking.run())
            show_progress('')
            findings = soaking.findings() + server.rest() + server.stop()
        findings += log_findings(logs, soaking.load.served, soaking.deeds_done()['kill'])
    soak_chart.draw(choice.svg, soaking)
    print(f'{soaking.load.served} requests served, {len(soaking.load.lost)} lost with killed workers, '
          f'{soaking.load.crossed} sent on connections that were just closed, '
          f'{soaking.load.told_to_leave} WebSockets told to leave; '
          + ', '.join(f'{count} {name}' for name, count in soaking.deeds_done().items()))
    print(soaking.summary())
    print(f'picture: {os.path.relpath(choice.svg)}')
    for finding in findings[:FINDINGS_SHOWN_MAX]:
        print(f'found: {finding}')
    if len(findings) > FINDINGS_SHOWN_MAX:
        print(f'found: {len(findings) - FINDINGS_SHOWN_MAX} more')
    print('nothing found' if not findings else f'{len(findings)} findings; seed {choice.seed}')
    return 1 if findings else 0


class Server:
    """What can be asked of the server and done to it, by `tine ctl` and over --admin."""

    def __init__(self, binary, tine, access_log):
        self.binary, self.url, self.access_log = binary, tine.url, access_log
        self.port = tine.url.rsplit(':', 1)[1]
        self.master = tine.pid
        self.rotations = 0
        self.admin = re.search(r'status page and metrics: (http://\S+)', open(tine.log).read())[1]

    def ctl(self, *command):
        return run([self.binary, 'ctl', *command, '--control', self.port], 60)

    def status(self):
        """None while it cannot be had, in the moment of an upgrade."""
        text = self.ctl('workers', '--json')
        status = json.loads(text)['status'] if text else None
        if status:
            self.master = status['pid']
        return status

    def counters(self):
        """Those of /metrics by name and labels, with the start of their master; none in the moment of an upgrade."""
        try:
            with urllib.request.urlopen(f'{self.admin}/metrics', timeout=10) as response:
                text = response.read().decode()
        except OSError:
            return None, {}
        start = re.search(r'^tine_start_time_seconds (\S+)$', text, re.M)[1]
        return start, {name: float(value) for name, value in COUNTER.findall(text)}

    def do(self, name):
        if name == 'reopen-logs':  # as logrotate does it
            self.rotations += 1
            os.rename(self.access_log, f'{self.access_log}.{self.rotations}')
        return self.ctl(name)

    def rest(self):
        """Without load it sleeps."""
        self.status()
        time.sleep(IDLE_SECONDS)
        pids = processes(self.master)
        before = cpu_seconds(pids)
        time.sleep(IDLE_SECONDS)
        used = (cpu_seconds(pids) - before) / IDLE_SECONDS
        return [f'at rest it uses {100 * used:.0f} % of a CPU'] if used > IDLE_CPU_MAX else []

    def stop(self):
        """Stops it; what is left of it is a finding."""
        before = processes(self.master)
        if self.ctl('stop') is None:
            return ['the server did not stop']
        deadline = time.monotonic() + LEFT_SECONDS_MAX
        while left := [name(pid) for pid in before if state(pid) not in (None, 'Z')]:
            if time.monotonic() > deadline:
                return [f'left after the stop: {", ".join(left)}']
            time.sleep(0.1)
        return []


def state(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0]
    except OSError:
        return None


def name(pid):
    """As ps shows it."""
    try:
        with open(f'/proc/{pid}/cmdline') as file:
            return f'{file.read().split(chr(0))[0]} ({pid})'
    except OSError:
        return str(pid)


def pss_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup') as file:
        return int(next(line for line in file if line.startswith('Pss:')).split()[1])


def log_findings(directory, served, kills):
    """Each line of the access log is whole, each request has one, and none was cut by the server."""
    lines, found = 0, []
    for path in glob.glob(os.path.join(directory, '*')):
        with open(path, 'rb') as file:
            for line in file:
                lines += 1
                try:
                    if json.loads(line)['outcome'] == 'cut':
                        found.append(f'cut: {line[:400]!r}')
                except (ValueError, KeyError):
                    found.append(f'a line of the access log: {line[:200]!r}')
    if lines < served - kills * LINES_LOST_MAX:
        found.append(f'the access log has {lines} lines, of {served} requests')
    return found


class Soaking:
    def __init__(self, choice, server):
        self.choice, self.server = choice, server
        self.random = random.Random(choice.seed)
        self.load = MixedLoad(server.url, choice.seed)
        self.began = time.monotonic()
        self.samples = []  # (seconds, MiB, descriptors, p50 ms, p99 ms)
        self.deeds = []  # (seconds, name)
        self.found = []
        self.totals = {}
        self.counters = None, {}

    def now(self):
        return time.monotonic() - self.began

    async def run(self):
        load = asyncio.create_task(self.load.run())
        tasks = [asyncio.create_task(one) for one in (self.keep_sampling(), self.keep_doing())]
        await asyncio.sleep(self.choice.seconds)
        self.load.is_over = True
        for task in tasks:
            task.cancel()
        await load
        await asyncio.gather(*tasks, return_exceptions=True)

    async def keep_sampling(self):
        interval = max(1, self.choice.seconds / SAMPLES_MAX)
        while True:
            await asyncio.sleep(interval)
            status = await asyncio.to_thread(self.server.status)
            self.compare_counters(*await asyncio.to_thread(self.server.counters))
            self.sample(status)

    def sample(self, status):
        latencies, self.load.latencies = self.load.latencies, []
        mib = descriptors = None
        if status:
            self.compare_totals(status)
            try:
                pids = processes(status['pid'])
                mib = sum(map(pss_kib, pids)) / 1024
                descriptors = sum(len(os.listdir(f'/proc/{pid}/fd')) for pid in pids)
            except OSError:  # a process has ended in between
                mib = descriptors = None
        ms = [percentile([one * 1000 for one in latencies], percent) for percent in (50, 99)]
        self.samples.append((self.now(), mib, descriptors, *ms))
        line = (f'{self.now():.0f} of {self.choice.seconds:.0f} s: {self.load.served} served, '
                f'{len(self.load.failures)} failed, {len(self.load.lost)} lost, {mib or 0:.1f} MiB')
        if sys.stderr.isatty():
            show_progress(f'{NAME}: {line}')
        elif len(self.samples) % 30 == 0:
            say(line)

    def compare_totals(self, status):
        """Counters grow; a new master begins again."""
        totals = {name: status[name] for name in ('pid', 'requests', 'accepted', 'responses_cut')}
        if totals['pid'] == self.totals.get('pid'):
            for name, before in self.totals.items():
                if totals[name] < before:
                    self.found.append(f'the counter {name} went from {before} to {totals[name]}')
        self.totals = totals

    def compare_counters(self, start, counters):
        """Those of Prometheus, too: none goes backwards, and none is missing."""
        if start is None:
            return
        before_start, before = self.counters
        if start == before_start:
            for name, value in before.items():
                if counters.get(name, -1) < value:
                    self.found.append(f'{name} went from {value:.15g} to {counters.get(name)}')
        self.counters = start, counters

    async def keep_doing(self):
        """One deed after another, about thirty in a run, at least 2 s apart and at most five minutes."""
        while True:
            deck = [name for name, times in DEEDS for _ in range(times)]
            self.random.shuffle(deck)
            for name in deck:
                interval = min(300, max(2, self.choice.seconds / 30))
                await asyncio.sleep(interval * self.random.uniform(0.5, 1.5))
                await self.do(name)

    async def do(self, name):
        if name == 'kill':
            status = await asyncio.to_thread(self.server.status)
            workers = status and [worker['pid'] for worker in status['workers'] if worker['state'] == 'ready']
            if workers:
                os.kill(self.random.choice(workers), signal.SIGKILL)
        elif await asyncio.to_thread(self.server.do, name) is None:
            self.found.append(f'at {self.now():.0f} s: {name} failed')
        self.deeds.append((self.now(), name))

    def deeds_done(self):
        names = [name for _, name in self.deeds]
        return {name: names.count(name) for name, _ in DEEDS}

    def findings(self):
        kills = [self.began + at for at, name in self.deeds if name == 'kill']
        unexplained = [(at, what) for at, what in self.load.lost
                       if not any(0 <= at - kill + 0.5 <= LOST_WITHIN_SECONDS for kill in kills)
                       and not any(begin <= at <= end + LOST_WITHIN_SECONDS for begin, end in self.load.late)]
        failed = [f'at {at - self.began:.0f} s: {what}' for at, what in self.load.failures + unexplained]
        if self.load.crossed > CROSSED_MAX * len(self.deeds):
            failed.append(f'{self.load.crossed} requests were sent on connections that were just closed')
        return failed + self.found + self.growth()

    def growth(self):
        """What the last fifth of the run has more of than the second."""
        found = []
        for place, name, factor, more in ((1, 'memory in MiB', GROWTH_MAX, GROWTH_MIB_MAX),
                                          (2, 'descriptors', GROWTH_MAX, 10),
                                          (4, 'p99 in ms', LATENCY_GROWTH_MAX, LATENCY_GROWTH_MS_MAX)):
            before, after = self.fifth(place, 1), self.fifth(place, 4)
            if place > 2 and self.choice.seconds < LATENCIES_COUNT_FROM_SECONDS or before is None or after is None:
                continue
            if after > before * factor + more:
                found.append(f'{name}: {before:.1f} in the second fifth of the run, {after:.1f} in the last')
        return found

    def fifth(self, place, number):
        """The median of that fifth of the run."""
        fifth = self.choice.seconds / 5
        values = [sample[place] for sample in self.samples
                  if number <= sample[0] / fifth < number + 1 and sample[place] is not None]
        return statistics.median(values) if values else None

    def summary(self):
        def shown(place, digits=0):
            values = [self.fifth(place, number) for number in (1, 4)]
            return ' to '.join('-' if value is None else f'{value:.{digits}f}' for value in values)
        late = sum(end - begin for begin, end in self.load.late)
        judged = f'for {late:.0f} s the load was late, and what was lost then is not judged\n' if late else ''
        return (f'{judged}from the second to the last fifth: {shown(1, 1)} MiB, {shown(2)} descriptors, '
                f'p50 {shown(3, 1)} ms, p99 {shown(4, 1)} ms')

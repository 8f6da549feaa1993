"""The phases of scripts/load-test, what is expected of each, and what came out."""
import asyncio
import os
import sys

import harness
import load_chart
from harness import NAME, cpu_seconds, fail, processes, say, show_progress
from paced_load import Load, Phase, percentile

CONCURRENT_MAX, PER_MINUTE_MAX = 100, 2000
LIMITS = ('--limit-concurrency', str(CONCURRENT_MAX), '--limit-rate', f'{PER_MINUTE_MAX}/min',
          '--limit-memory', '1G', '--limit-cpu', '200')
# A client's request and its period: 100 clients at a time are 2000 requests a minute.
SECONDS = 3
BUSY = f'/delay/{SECONDS * 1000}'
PING = '/delay/50'
# Between the phases of `full`, so that what is left of one does not count for the next.
PAUSE_SECONDS = 25
SUCCESS_MIN = 0.99  # of a phase in which nothing may be refused
ERRORS_SHOWN_MAX = 5


def concurrent(name, clients, seconds, refused):
    return Phase(name, clients, SECONDS, seconds, BUSY, refused=refused)


def per_minute(name, count, seconds, refused):
    return Phase(name, 1, 60 / count, seconds, PING, refused=refused)


NONE, FEW, THIRD, SOME = (0, 0), (0, 0.05), (0.20, 0.40), (0.01, 0.40)
PHASES = {
    'quick': [
        concurrent('baseline: 20 clients', 20, 15, NONE),
        concurrent('warning: 80 clients', 80, 15, FEW),
        concurrent('over the limit: 120 clients', 120, 15, SOME),
        concurrent('recovery: 10 clients', 10, 10, NONE),
    ],
    'full': [
        concurrent('1 baseline: 10 clients', 10, 30, NONE),
        concurrent('2 moderate: 50 clients', 50, 30, NONE),
        concurrent('3 warning: 80 clients', 80, 30, FEW),
        concurrent('4 at the limit: 100 clients', 100, 30, FEW),
        concurrent('5 over the limit: 150 clients', 150, 30, THIRD),
        per_minute('6 rate: 2000 a minute', 2000, 60, FEW),
        per_minute('7 rate burst: 3000 a minute', 3000, 60, THIRD),
        Phase('8 memory: bodies of 1 MB', 10, 2, 30, '/upload', body_bytes=1 << 20, refused=NONE),
        concurrent('9 recovery: 10 clients', 10, 20, NONE),
    ],
}
# What is in flight at the end of a phase of `quick`, or waits for its turn, is over after this.
PHASES['quick'][-1].pause = SECONDS + 2
for phase in PHASES['full'][1:]:
    phase.pause = PAUSE_SECONDS


def test(choice, url, pid):
    """Runs the phases and prints the result; the exit status."""
    load = Load(url, PHASES[choice.which])
    say(f'{choice.which}, {sum(phase.pause + phase.seconds for phase in load.phases):.0f} s, against {url}')
    usage = Usage(load, pid)
    asyncio.run(load.run(usage.sample))
    show_progress('')
    if not any(done.status for done in load.done):
        fail(f'{url} does not answer: {load.done[0].error}')
    rows = [Row(number, load, usage) for number in range(len(load.phases))]
    print_table(rows)
    for error in sorted({done.error for done in load.done if done.error})[:ERRORS_SHOWN_MAX]:
        print(f'error: {error}')
    load_chart.draw(choice.svg, load, usage, CONCURRENT_MAX, PER_MINUTE_MAX)
    print(f'\npicture: {os.path.relpath(choice.svg)}')
    wrong = [row for row in rows if row.wrong]
    for row in wrong:
        print(f'not as expected: {row.phase.name}: {row.wrong}')
    print('all phases as expected' if not wrong else f'{len(wrong)} of {len(rows)} phases not as expected')
    return 1 if wrong else 0


class Usage:
    """What the server's processes use, a sample a second."""

    def __init__(self, load, pid):
        self.load, self.pid = load, pid
        self.samples = []  # (seconds, phase, in flight, MiB, percent of a CPU)
        self.before = None

    def sample(self):
        load, mib, percent = self.load, None, None
        if self.pid:
            try:
                pids = processes(self.pid)
                mib = sum(map(harness.resident_kib, pids)) / 1024
                now, cpu = load.now(), cpu_seconds(pids)
                if self.before:
                    percent = 100 * max(0, cpu - self.before[1]) / max(now - self.before[0], 0.01)
                self.before = (now, cpu)
            except OSError:  # a process has ended in between
                pass
        self.samples.append((load.now(), load.phase, load.in_flight, mib, percent))
        self.show()

    def show(self):
        load = self.load
        recent = [done for done in load.done[-1000:] if done.ended > load.now() - 1]
        served, refused = (sum(map(is_one, recent)) for is_one in (lambda d: d.is_served, lambda d: d.is_refused))
        line = (f'{load.now():4.0f} s  {load.phases[load.phase].name}: {load.in_flight} in flight, '
                f'{served}/s served, {refused}/s refused')
        if sys.stderr.isatty():
            show_progress(f'{NAME}: {line}')
        elif len(self.samples) % 10 == 0:
            say(line)

    def most(self, phase, place):
        values = [sample[place] for sample in self.samples if sample[1] == phase and sample[place] is not None]
        return max(values, default=None)


class Row:
    """A phase's result."""

    def __init__(self, number, load, usage):
        self.phase = load.phases[number]
        done = [one for one in load.done if one.phase == number]
        self.requests = len(done)
        self.served = sum(one.is_served for one in done) / len(done)
        self.refused = sum(one.is_refused for one in done) / len(done)
        self.errors = sum(not one.is_served and not one.is_refused for one in done)
        took = [one.took * 1000 for one in done if one.is_served]
        self.p50, self.p99 = percentile(took, 50), percentile(took, 99)
        self.mib, self.cpu = usage.most(number, 3), usage.most(number, 4)
        least, most = self.phase.refused
        self.expected = '0 %' if most == 0 else f'{100 * least:.0f} to {100 * most:.0f} %'
        wrong = []
        if not least <= self.refused <= most:
            wrong.append(f'{100 * self.refused:.1f} % refused, expected {self.expected}')
        if most == 0 and self.served < SUCCESS_MIN:
            wrong.append(f'{100 * self.served:.1f} % served')
        if self.errors:
            wrong.append(f'{self.errors} errors')
        self.wrong = ', '.join(wrong)

    def cells(self):
        def shown(value, digits=0):
            return '-' if value is None else f'{value:.{digits}f}'
        return (self.phase.name, str(self.requests), f'{100 * self.served:.1f}', f'{100 * self.refused:.1f}', self.expected,
                str(self.errors), shown(self.p50), shown(self.p99), shown(self.mib), shown(self.cpu),
                'no' if self.wrong else 'yes')


def print_table(rows):
    head = ('phase', 'requests', 'served %', 'refused %', 'expected', 'errors', 'p50 ms', 'p99 ms', 'MiB', 'CPU %', 'as expected')
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    print()
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        print('  '.join(cells).rstrip())
    print()

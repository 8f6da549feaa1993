"""The journal of scripts/bench, benchmarks.md: an entry's head, its figures with their spread, and where it goes."""
import datetime
import os
import re
import statistics
import subprocess

from harness import ROOT, fail, say

JOURNAL = os.path.join(ROOT, 'benchmarks.md')
MARK = '<!-- scripts/bench writes the newest entry below this line -->\n'


def command_output(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def commit():
    return command_output('git', 'rev-parse', '--short=10', 'HEAD') or 'unknown'


def is_dirty():
    return bool(command_output('git', 'status', '--porcelain', '--', '.', ':!benchmarks.md'))


def first(pattern, path, otherwise='unknown'):
    with open(path) as lines:
        found = re.search(pattern, lines.read(), re.M)
    return found[1].strip() if found else otherwise


def version(pattern, *command):
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else 'of an unknown version'


def head():
    gib = int(first(r'^MemTotal:\s+(\d+) kB', '/proc/meminfo', '0')) / (1 << 20)
    flags = first(r'^flags\s*:(.*)', '/proc/cpuinfo', '').split()
    machine = 'virtual machine' if 'hypervisor' in flags else 'machine'
    cpu = first(r'^model name\s*:(.*)', '/proc/cpuinfo')
    usable = len(os.sched_getaffinity(0))
    today = datetime.datetime.now(datetime.timezone.utc)
    return f'''## {today:%Y-%m-%d %H:%M} UTC: {commit()}{', with uncommitted changes' if is_dirty() else ''}

- Commit: {commit()} "{command_output('git', 'log', '-1', '--format=%s')}"; the tree is {'dirty' if is_dirty() else 'clean'}
- Machine: {machine}, {usable} CPUs ({cpu}), {gib:.1f} GiB; load {os.getloadavg()[0]:.1f} before
- Kernel {os.uname().release}; rustc {version(r'rustc ([0-9.]+)', 'rustc', '--version')}
'''


def median(runs, key):
    return statistics.median(one[key] for one in runs)


def cell(runs, key, digits=0):
    values = sorted(one[key] for one in runs)
    text = f'{statistics.median(values):.{digits}f}'
    return f'{text} ({values[0]:.{digits}f}..{values[-1]:.{digits}f})' if len(values) > 1 else text


def middle(runs, key, digits=0):
    """As `cell`, with the middle half of many runs."""
    if len(runs) == 1:
        return cell(runs, key, digits)
    low, median, high = statistics.quantiles((one[key] for one in runs), n=4)
    return f'{median:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})'


def entries():
    """All entries, newest first."""
    with open(JOURNAL) as file:
        return file.read().partition(MARK)[2]


def is_newest():
    """Whether the newest entry is of this commit, so that more can be added to it."""
    newest = re.match(r'\s*## .*: ([0-9a-f]+)$', entries(), re.M)
    return bool(newest) and newest[1] == commit() and not is_dirty()


def taken():
    """For the first line of a part that may be added later."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f'Taken {now:%Y-%m-%d %H:%M} UTC, load {os.getloadavg()[0]:.1f} before'


def write(entry, is_addition):
    """At the top of the journal, or at the end of its newest entry."""
    with open(JOURNAL) as file:
        text, mark, entries = file.read().partition(MARK)
    if not mark:
        fail(f'benchmarks.md lacks the line: {MARK.strip()}')
    if is_addition:
        newest, following, older = entries.lstrip('\n').partition('\n## ')
        entries = '\n' + newest.rstrip('\n') + '\n' + entry + following + older
    else:
        entries = f'\n{entry}{entries}'
    scratch = f'{JOURNAL}.new'
    with open(scratch, 'w') as file:
        file.write(text + mark + entries)
    os.replace(scratch, JOURNAL)
    say('wrote benchmarks.md')

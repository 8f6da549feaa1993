"""scripts/bench hey: keep-alive GETs of /health by hey, tine and nginx in turn."""
import datetime
import json
import re
import resource
import statistics

from bench_journal import cell, commit, entries, median, version
from bench_nginx import ANSWER, Nginx, answers, need_nginx
from harness import NAME, Tine, fail, need, run, say, show_progress

CONNECTIONS = (10, 50, 100)


def prepare():
    need('hey')
    need_nginx()


def entry(binary, choice):
    """The text of the part, and the number of failed requests."""
    with Tine(binary, '--workers', str(choice.workers)) as tine, Nginx(choice.workers) as nginx:
        if not answers(tine):
            fail(f'tine does not answer {ANSWER.decode()} on /health')
        runs = measure({'tine': tine, 'nginx': nginx}, choice.requests, choice.rounds or 3)
    return table(runs, choice, before())


def hey(url, requests, connections, seconds_max, *options):
    """One run: its figures, and what hey printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = run(['hey', *options, '-n', str(requests), '-c', str(connections), url], seconds_max)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if text is None:
        fail(f'hey failed or took more than {seconds_max:.0f} s at {connections} connections')

    def number(pattern):
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    # hey gives each connection requests/connections, rounded down.
    expected = requests // connections * connections
    return {
        'rps': number(r'Requests/sec:\s+([\d.]+)'),
        'p50': number(r'50%+ in ([\d.]+)') * 1000,
        'p99': number(r'99%+ in ([\d.]+)') * 1000,
        'least': number(r'Fastest:\s+([\d.]+)') * 1000,
        'most': number(r'Slowest:\s+([\d.]+)') * 1000,
        'failed': expected - int(number(r'\[200\]\s+(\d+) responses')),
        'cpu': after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        'text': text.strip(),
    }


def measure(servers, requests, rounds):
    """{connections: {server: [runs]}}; the servers in turn."""
    for server in servers.values():
        run(['hey', '-n', '5000', '-c', '50', f'{server.url}/health'], 60)  # not counted
    runs = {}
    for connections in CONNECTIONS:
        runs[connections] = {name: [] for name in servers}
        for number in range(rounds):
            for name, server in servers.items():
                show_progress(f'{NAME}: {connections} connections, round {number + 1} of {rounds}, {name}')
                one = hey(f'{server.url}/health', requests, connections, 60 + requests / 1000)
                show_progress('')
                say(f'{connections} connections, round {number + 1} of {rounds}, {name}: {one["rps"]:.0f} requests/s'
                    + (f', {one["failed"]} FAILED' if one['failed'] else ''))
                runs[connections][name].append(one)
    return runs


def ratios(runs):
    return [tine['rps'] / nginx['rps'] for tine, nginx in zip(runs['tine'], runs['nginx'])]


def before():
    """The newest entry's figures, as table() has left them in a comment; None before the first."""
    found = re.search(r'^<!-- hey (\{.*\}) -->$', entries(), re.M)
    return json.loads(found[1]) if found else None


def hey_version():
    return version(r'(?m)^(\S+)$', 'dpkg-query', '-W', '-f=${Version}\n', 'hey')


def table(runs, choice, previous):
    text = f'''- nginx {version(r'nginx/([0-9.]+)', 'nginx', '-v')}, hey {hey_version()}; {choice.workers} workers each, \
medians of {choice.rounds or 3} (least..most)

```
tine run 0 --workers {choice.workers}
nginx -c CONFIG  # as above, worker_processes {choice.workers}
'''
    text += ''.join(f'hey -n {choice.requests} -c {connections} http://127.0.0.1:PORT/health\n'
                    for connections in CONNECTIONS)
    text += '''```

| c | server | requests/s | p50 ms | p99 ms | tine : nginx | tine before | ratio before |
|---:|---|---:|---:|---:|---:|---:|---:|
'''
    for connections, servers in runs.items():
        for name, some in servers.items():
            figures = ['', '', '']
            if name == 'tine':
                values = [{'ratio': value} for value in ratios(servers)]
                figures[0] = cell(values, 'ratio', 2)
                if previous:
                    old = previous['figures'].get(str(connections), {})
                    figures[1:] = [f'{old[key]:.{digits}f}' if key in old else ''
                                   for key, digits in (('rps', 0), ('ratio', 2))]
            cells = [str(connections), name, cell(some, 'rps'), cell(some, 'p50', 1), cell(some, 'p99', 1), *figures]
            text += '| ' + ' | '.join(cells) + ' |\n'
    counts = {name: sum(one['failed'] for servers in runs.values() for one in servers[name])
              for name in ('tine', 'nginx')}
    text += f"\nRequests not answered with 200: tine {counts['tine']}, nginx {counts['nginx']}.\n"
    if previous:
        text += (f"Before: {previous['commit']} of {previous['date']}, -n {previous['requests']}, "
                 f"{previous['workers']} workers; compare the ratios, the machine's speed drifts.\n")
    text += "\n<details><summary>hey's summaries of tine (for each, the run of the median)</summary>\n"
    for connections, servers in runs.items():
        middle = sorted(servers['tine'], key=lambda one: one['rps'])[len(servers['tine']) // 2]
        text += f'\n```\nhey -n {choice.requests} -c {connections}\n{middle["text"]}\n```\n'
    figures = {str(connections): {'rps': round(median(servers['tine'], 'rps')),
                                  'ratio': round(statistics.median(ratios(servers)), 3)}
               for connections, servers in runs.items()}
    known = {'commit': commit(), 'date': f'{datetime.date.today()}', 'requests': choice.requests,
             'workers': choice.workers, 'figures': figures}
    return f'{text}\n</details>\n\n<!-- hey {json.dumps(known)} -->\n', sum(counts.values())

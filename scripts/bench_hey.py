"""scripts/bench hey: keep-alive GETs of /health by hey, tine and nginx in turn."""
import datetime
import json
import re
import statistics

from bench_journal import cell, commit, median, version
from harness import NAME, fail, run, say, show_progress

CONNECTIONS = (10, 50, 100)


def hey(server, requests, connections):
    """One run: its figures, and what hey printed."""
    text = run(['hey', '-n', str(requests), '-c', str(connections), f'{server.url}/health'], 60 + requests / 1000)
    if text is None:
        fail(f'hey failed or took more than {60 + requests / 1000:.0f} s at {connections} connections')

    def number(pattern):
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    # hey gives each connection requests/connections of them, whole ones.
    expected = requests // connections * connections
    return {
        'rps': number(r'Requests/sec:\s+([\d.]+)'),
        'p50': number(r'50%+ in ([\d.]+)') * 1000,
        'p99': number(r'99%+ in ([\d.]+)') * 1000,
        'failed': expected - int(number(r'\[200\]\s+(\d+) responses')),
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
                one = hey(server, requests, connections)
                show_progress('')
                say(f'{connections} connections, round {number + 1} of {rounds}, {name}: {one["rps"]:.0f} requests/s'
                    + (f', {one["failed"]} FAILED' if one['failed'] else ''))
                runs[connections][name].append(one)
    return runs


def ratios(runs):
    return [tine['rps'] / nginx['rps'] for tine, nginx in zip(runs['tine'], runs['nginx'])]


def before(journal):
    """The newest entry's figures, as hey_entry has left them in a comment; None before the first."""
    found = re.search(r'^<!-- hey (\{.*\}) -->$', journal, re.M)
    return json.loads(found[1]) if found else None


def hey_entry(runs, choice, previous):
    packaged = version(r'(?m)^(\S+)$', 'dpkg-query', '-W', '-f=${Version}\n', 'hey')
    text = f'''- nginx {version(r'nginx/([0-9.]+)', 'nginx', '-v')}, hey {packaged}; {choice.workers} workers each, \
medians of {choice.rounds} (least..most)

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
    counts = {name: sum(one['failed'] for servers in runs.values() for one in servers[name]) for name in ('tine', 'nginx')}
    text += f"\nRequests not answered with 200: tine {counts['tine']}, nginx {counts['nginx']}.\n"
    if previous:
        text += (f"Before: {previous['commit']} of {previous['date']}, -n {previous['requests']}, "
                 f"{previous['workers']} workers; compare the ratios, the machine's speed drifts.\n")
    text += "\n<details><summary>hey's summaries of tine (for each, the run of the median)</summary>\n"
    for connections, servers in runs.items():
        middle = sorted(servers['tine'], key=lambda one: one['rps'])[choice.rounds // 2]
        text += f'\n```\nhey -n {choice.requests} -c {connections}\n{middle["text"]}\n```\n'
    figures = {str(connections): {'rps': round(median(servers['tine'], 'rps')),
                                  'ratio': round(statistics.median(ratios(servers)), 3)}
               for connections, servers in runs.items()}
    known = {'commit': commit(), 'date': f'{datetime.date.today()}', 'requests': choice.requests,
             'workers': choice.workers, 'figures': figures}
    return f'{text}\n</details>\n\n<!-- hey {json.dumps(known)} -->\n', sum(counts.values())

#!/usr/bin/env python3
"""Side-by-side measurements of HTTP servers that are already running.

    bench.py MODE [options] --sut SPEC [--sut SPEC ...] [--suts FILE]

A server under test is one SPEC, a comma-separated list of key=value:

    name=mine,pid=1234,small=http://127.0.0.1:8080/health[,close=URL][,bulk=URL][,closes=1]

pid is the process (or master) that the server's CPU time is read from, its
threads and descendants included. closes=1 says that the server closes each
connection by itself. --suts FILE reads one SPEC a line, '#' comments allowed:
peers.sh writes such a file for the reference servers.

Servers take turns (A B C A B C ...), --rounds times; medians are reported, and
the ratio to --base (default: limit) is the median of the same-round ratios.
'best' and 'least' are the best round's: on a machine whose speed drifts they
repeat better than the medians do.
'other' is the CPU time, in percent of one core, that neither the server nor
the client used: what the machine's other users (and interrupts) took. A run
with more than --noise percent is repeated, at most twice.

modes: small, pipeline, close (keep-alive GETs, 16 in flight, one connection a
request), bulk (downloads), syscalls (perf stat and strace while loaded)
"""
import argparse, json, os, re, shlex, statistics as st, subprocess, sys, time

HZ = os.sysconf('SC_CLK_TCK')
HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.environ.get('CARGO_TARGET_DIR') or os.path.join(HERE, '..', '..', 'target')
PEERS = os.environ.get('PEERS') or os.path.join(TARGET, 'bench', 'floor')


def descendants(pid):
    kids = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try:
                s = open(f'/proc/{d}/stat').read()
            except OSError:
                continue
            kids.setdefault(int(s.rsplit(')', 1)[1].split()[1]), []).append(int(d))
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def cpu_of(pid):
    """(user+system seconds, user seconds, voluntary switches) of pid and everything under it"""
    total = user = 0.0
    vol = 0
    for p in descendants(pid):
        try:
            f = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()
            user += int(f[11]) / HZ
            fine = 0
            for t in os.listdir(f'/proc/{p}/task'):
                fine += int(open(f'/proc/{p}/task/{t}/schedstat').read().split()[0])
                for line in open(f'/proc/{p}/task/{t}/status'):
                    if line.startswith('voluntary_ctxt'):
                        vol += int(line.split()[1])
            total += fine / 1e9 if fine else (int(f[11]) + int(f[12])) / HZ
        except OSError:
            pass
    return total, user, vol


def machine():
    f = open('/proc/stat').readline().split()[1:]
    f = [int(x) / HZ for x in f]
    return sum(f[:3]) + sum(f[5:7]), f[7]  # busy (user nice system irq softirq), steal


def parse_spec(s):
    d = dict(kv.split('=', 1) for kv in s.strip().split(','))
    d['pid'] = int(d['pid'])
    return d


def to_us(s):
    m = re.match(r'([\d.]+)(us|ms|s|m)', s)
    return float(m[1]) * {'us': 1, 'ms': 1e3, 's': 1e6, 'm': 6e7}[m[2]]


def run_client(cmd, cpu, sut, limit):
    if cpu != '':
        cmd = ['taskset', '-c', cpu] + cmd
    b0, s0 = machine()
    c0, u0, v0 = cpu_of(sut['pid'])
    t0 = time.monotonic()
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = __import__('threading').Timer(limit, p.kill)
    timer.start()
    out = p.stdout.read()
    _, status, ru = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    timer.cancel()
    t = time.monotonic() - t0
    c1, u1, v1 = cpu_of(sut['pid'])
    b1, s1 = machine()
    client = ru.ru_utime + ru.ru_stime
    r = dict(secs=t, srv_cpu=c1 - c0, srv_user=u1 - u0, srv_switches=v1 - v0, cli_cpu=client,
             other=max(0.0, (b1 - b0) - (c1 - c0) - client) / t * 100, steal=(s1 - s0) / t * 100)
    if p.returncode:
        r['failed'] = f'client exit {p.returncode}'
    return out, r


def wrk(a, sut, url, conns, extra=()):
    cmd = [a.wrk, '-t1', f'-c{conns}', f'-d{a.secs}s', '--latency'] + list(extra)
    tail = []
    if '--' in cmd:
        i = cmd.index('--')
        cmd, tail = cmd[:i], cmd[i:]
    out, r = run_client(cmd + [url] + tail, a.cli_cpu, sut, a.secs + 20)
    m = re.search(r'(\d+) requests in ([\d.]+)(us|ms|s|m)', out)
    n = int(m[1]) if m else 0
    r['requests'] = n
    r['rps'] = float((re.search(r'Requests/sec:\s+([\d.]+)', out) or [0, '0'])[1])
    for p in ('50', '99'):
        m = re.search(r'\s%s%%\s+(\S+)' % p, out)
        r['p' + p] = to_us(m[1]) if m else 0
    e = re.search(r'Socket errors: (.*)', out)
    r['errors'] = sum(int(x) for x in re.findall(r'\d+', e[1])) if e else 0
    e = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    r['non2xx'] = int(e[1]) if e else 0
    return r


def fire(a, sut, url, conns, depth=1, once=False):
    cmd = [a.fire, '-c', str(conns), '-t', str(a.secs), '-P', str(depth)] + (['-x'] if once else []) + [url]
    out, r = run_client(cmd, a.cli_cpu, sut, a.secs + 20)
    m = re.search(r'rps (\S+) responses (\d+) errors (\d+) p50us (\d+) p99us (\d+)', out)
    r.update(zip(('rps', 'requests', 'errors', 'p50', 'p99'), map(float, m.groups())) if m
             else dict(rps=0, requests=0, errors=1, p50=0, p99=0, failed=out.strip()[-80:]))
    return r


def sink(a, sut, url, conns):
    cmd = [a.sink, '-c', str(conns), '-n', str(a.times), '-b', str(a.recv)] + (['-t'] if a.trunc else []) + [url]
    out, r = run_client(cmd, a.cli_cpu, sut, 120)
    m = re.search(r'GB/s (\S+) GiB (\S+)', out)
    r['gbs'] = float(m[1]) if m else 0
    r['gib'] = float(m[2]) if m else 0
    if not m:
        r['failed'] = out.strip()[-80:]
    return r


def measure(a, sut, what):
    """one run; again while the machine's other users took too much"""
    best = None
    for _ in range(3):
        r = what()
        if best is None or r['other'] < best['other']:
            best = r
        if r['other'] <= a.noise:
            break
    return best


def rounds(a, suts, what, label):
    got = {s['name']: [] for s in suts}
    for k in range(a.rounds):
        for s in suts:
            r = measure(a, s, lambda: what(s))
            r.update(server=s['name'], round=k, test=label, at=time.strftime('%H:%M:%S'))
            got[s['name']].append(r)
            if a.json:
                with open(a.json, 'a') as f:
                    f.write(json.dumps(r) + '\n')
            print(f"  {label} r{k} {s['name']}: " + ' '.join(
                f'{key}={r[key]:.4g}' for key in ('rps', 'gbs', 'srv_cpu', 'cli_cpu', 'other', 'errors') if key in r),
                file=sys.stderr, flush=True)
    return got


def med(rs, f):
    v = [f(r) for r in rs if f(r) is not None]
    return st.median(v) if v else float('nan')


def ratio(got, name, base, key):
    if base not in got:
        return float('nan')
    v = [r[key] / b[key] for r, b in zip(got[name], got[base]) if b.get(key) and r.get(key)]
    return st.median(v) if v else float('nan')


def table_rps(got, base, unit='request'):
    print(f'| server | rps | of {base} | best rps | p50 us | p99 us | server CPU us/{unit} | least | of {base} | user share | server CPU % | client CPU % | other % | errors |')
    print('|---|' + '---:|' * 13)
    for rs in got.values():
        for r in rs:
            r['per'] = r['srv_cpu'] / r['requests'] * 1e6 if r['requests'] else None
    for n, rs in got.items():
        pers = [r['per'] for r in rs if r['per']] or [float('nan')]
        per = st.median(pers)
        print(f"| {n} | {med(rs, lambda r: r['rps']):.0f} | {ratio(got, n, base, 'rps'):.2f} | {max(r['rps'] for r in rs):.0f} "
              f"| {med(rs, lambda r: r['p50']):.0f} | {med(rs, lambda r: r['p99']):.0f} | {per:.2f} "
              f"| {min(pers):.2f} | {ratio(got, n, base, 'per'):.2f} | {med(rs, lambda r: r['srv_user'] / r['srv_cpu'] * 100 if r['srv_cpu'] else 0):.0f}% "
              f"| {med(rs, lambda r: r['srv_cpu'] / r['secs'] * 100):.0f} | {med(rs, lambda r: r['cli_cpu'] / r['secs'] * 100):.0f} "
              f"| {med(rs, lambda r: r['other']):.0f} | {sum(r['errors'] + r.get('non2xx', 0) for r in rs):.0f} |")
    print(flush=True)


def table_bulk(got, base):
    print(f'| server | GB/s | of {base} | server CPU s/GiB | client CPU s/GiB | server CPU % | client CPU % | other % |')
    print('|---|---:|---:|---:|---:|---:|---:|---:|')
    for n, rs in got.items():
        print(f"| {n} | {med(rs, lambda r: r['gbs']):.2f} | {ratio(got, n, base, 'gbs'):.2f} "
              f"| {med(rs, lambda r: r['srv_cpu'] / r['gib'] if r['gib'] else None):.3f} "
              f"| {med(rs, lambda r: r['cli_cpu'] / r['gib'] if r['gib'] else None):.3f} "
              f"| {med(rs, lambda r: r['srv_cpu'] / r['secs'] * 100):.0f} | {med(rs, lambda r: r['cli_cpu'] / r['secs'] * 100):.0f} "
              f"| {med(rs, lambda r: r['other']):.0f} |")
    print(flush=True)


def count_syscalls(a, sut, conns):
    """exact calls per request (perf stat), then their kinds (strace, on a slowed-down server)"""
    pids = ','.join(map(str, descendants(sut['pid'])))
    pin = ['taskset', '-c', a.cli_cpu] if a.cli_cpu != '' else []
    out = subprocess.run(pin + [a.wrk, '-t1', f'-c{conns}', '-d1s', sut['small']], capture_output=True, text=True)  # warm
    perf = subprocess.Popen(['perf', 'stat', '-x', ',', '-e', 'raw_syscalls:sys_enter', '-p', pids],
                            stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    out = subprocess.run(pin + [a.wrk, '-t1', f'-c{conns}', '-d3s', sut['small']], capture_output=True, text=True).stdout
    perf.send_signal(2)
    calls = perf.communicate()[1]
    m = re.search(r'(\d+) requests in', out)
    c = re.search(r'(\d+),[^\n]*sys_enter', calls)
    per = int(c[1]) / int(m[1]) if m and c and int(m[1]) else float('nan')
    kinds = ''
    if a.strace:
        args = ['strace', '-c', '-f', '-q']
        for p in pids.split(','):
            args += ['-p', p]
        tr = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        out = subprocess.run(pin + [a.wrk, '-t1', f'-c{conns}', '-d2s', sut['small']], capture_output=True, text=True).stdout
        tr.send_signal(2)
        rep = tr.communicate()[1]
        m = re.search(r'(\d+) requests in', out)
        n = int(m[1]) if m else 0
        rows = []
        for line in rep.splitlines():
            f = line.split()
            if len(f) >= 5 and re.match(r'[\d.]+$', f[0]) and f[-1] != 'total' and n:
                rows.append((int(f[3]) / n, f[-1]))
        kinds = ', '.join(f'{name} {x:.2f}' for x, name in sorted(rows, reverse=True) if x >= 0.005)
    return per, kinds


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('mode', choices=('small', 'pipeline', 'close', 'bulk', 'syscalls'))
    p.add_argument('--sut', action='append', default=[])
    p.add_argument('--suts')
    p.add_argument('--only', help='names to keep, comma-separated')
    p.add_argument('--client', choices=('wrk', 'fire'), default='wrk')
    p.add_argument('-c', '--conns', default='64', help='one or more counts, comma-separated')
    p.add_argument('-d', '--secs', type=int, default=5)
    p.add_argument('-r', '--rounds', type=int, default=5)
    p.add_argument('--depth', type=int, default=16)
    p.add_argument('--times', type=int, default=4, help='bulk: downloads on each connection')
    p.add_argument('--recv', type=int, default=1 << 20, help='bulk: bytes a recv')
    p.add_argument('--trunc', action='store_true', help='bulk: the client drops data in the kernel')
    p.add_argument('--base', default='limit')
    p.add_argument('--noise', type=float, default=10)
    p.add_argument('--cli-cpu', default='1', help="the client's CPU; '' to leave it free")
    p.add_argument('--strace', action='store_true')
    p.add_argument('--json', help='append every run here, one JSON object a line')
    p.add_argument('--prio', type=int, help="scheduling-group priority of the client, e.g. -15 (root)")
    p.add_argument('--wrk', default='wrk')
    p.add_argument('--fire', default=PEERS + '/fire')
    p.add_argument('--sink', default=PEERS + '/sink')
    a = p.parse_args()
    if a.prio is not None:  # a setsid group is scheduled as one: nice values only count inside it
        try:
            os.setsid()
        except OSError:
            pass
        with open('/proc/self/autogroup', 'w') as f:
            f.write(str(a.prio))
    specs = list(a.sut)
    if a.suts:
        specs += [l for l in open(a.suts) if l.strip() and not l.startswith('#')]
    suts = [parse_spec(s) for s in specs]
    if a.only:
        names = a.only.split(',')
        suts = [s for n in names for s in suts if s['name'] == n]
    if not suts:
        p.error('no server')
    for c in map(int, a.conns.split(',')):
        if a.mode == 'syscalls':
            print(f'| server | syscalls/request (perf stat, c={c}) | by kind (strace) |\n|---|---:|---|')
            for s in suts:
                per, kinds = count_syscalls(a, s, c)
                print(f"| {s['name']} | {per:.2f} | {kinds} |", flush=True)
            print()
            continue
        label = f'{a.mode} c={c} {a.client if a.mode != "bulk" else ("sink -t" if a.trunc else "sink")}'
        if a.mode == 'small':
            what = (lambda s: wrk(a, s, s['small'], c)) if a.client == 'wrk' else (lambda s: fire(a, s, s['small'], c))
        elif a.mode == 'pipeline':
            lua = os.path.join(HERE, 'conf', 'pipeline.lua')
            what = ((lambda s: wrk(a, s, s['small'], c, ['-s', lua, '--', str(a.depth)])) if a.client == 'wrk'
                    else (lambda s: fire(a, s, s['small'], c, a.depth)))
        elif a.mode == 'close':
            def what(s):
                url = s.get('close', s['small'])
                if a.client == 'fire':
                    return fire(a, s, url, c, once=True)
                return wrk(a, s, url, c, [] if s.get('closes') or 'close' in s else ['-H', 'Connection: close'])
        else:
            what = lambda s: sink(a, s, s['bulk'], c)
        got = rounds(a, [s for s in suts if a.mode != 'bulk' or 'bulk' in s], what, label)
        print(f'\n{label}, {a.rounds} rounds' + ('' if a.mode == 'bulk' else f' of {a.secs} s') + '\n')
        (table_bulk if a.mode == 'bulk' else lambda g, b: table_rps(g, b, 'connection' if a.mode == 'close' else 'request'))(got, a.base)


if __name__ == '__main__':
    main()

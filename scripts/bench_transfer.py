#!/usr/bin/env python3
"""scripts/bench_transfer.py get|put URL [--connections N] [--mib N] [--drop] [--cpu N]

One process that receives a large body over each of several connections (get), or sends it (put), by calls of at most
1 MiB. Prints a JSON object: bytes of all bodies, seconds, its CPU seconds. Fails if an answer is not 200, or does not
have the size that its head declares or that --mib gives; for a put, if the answer has bytes_received and it differs.
--drop makes the kernel drop the data (MSG_TRUNC): then the sender's share is nearly all that is left."""
import argparse
import json
import os
import re
import select
import socket
import sys
import time
from urllib.parse import urlsplit

MIB = 1 << 20
CALL_BYTES = MIB
HEAD_BYTES_MAX = 16 << 10
STALL_SECONDS = 20
PATTERN = memoryview((b'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789' * (MIB // 36 + 1))[:MIB])
ROOM = memoryview(bytearray(CALL_BYTES))


class Failed(Exception):
    pass


def received(call):
    """The result of this call on the socket, once it is ready."""
    while True:
        try:
            return call()
        except BlockingIOError:
            yield select.POLLIN


def line(sock, end, most):
    """Reads up to and including `end`, and nothing after it; yields until it has arrived."""
    while True:
        seen = yield from received(lambda: sock.recv(most, socket.MSG_PEEK))
        if not seen:
            raise Failed('the connection ended early')
        if (at := seen.find(end)) >= 0:
            return sock.recv(at + len(end))
        if len(seen) == most:
            raise Failed(f'no {end!r} in {most} bytes')
        yield select.POLLIN


def head(sock):
    text = (yield from line(sock, b'\r\n\r\n', HEAD_BYTES_MAX)).decode('latin-1')
    if not text.startswith('HTTP/1.1 200 '):
        raise Failed(text.splitlines()[0])
    return {name.lower(): value.strip() for name, _, value in (field.partition(':') for field in text.splitlines()[1:])}


def take(sock, size, flags):
    """Reads exactly `count` bytes."""
    while size:
        count = yield from received(lambda: sock.recv_into(ROOM, min(CALL_BYTES, size), flags))
        if count == 0:
            raise Failed(f'the connection ended {size} bytes early')
        size -= count
        if size:
            yield select.POLLIN  # lets the other connections run


def body(sock, flags):
    """The size of the body, once it has arrived."""
    fields = yield from head(sock)
    if 'content-length' in fields:
        size = int(fields['content-length'])
        yield from take(sock, size, flags)
        return size
    if fields.get('transfer-encoding') != 'chunked':
        raise Failed('neither a length nor chunks')
    size = 0
    while True:
        part = int((yield from line(sock, b'\r\n', 64)), 16)
        yield from take(sock, part, flags)
        yield from take(sock, 2, 0)
        size += part
        if part == 0:
            return size


def get(sock, url, _, flags):
    sock.sendall(f'GET {target(url)} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n'.encode())
    return (yield from body(sock, flags))


def put(sock, url, size, _):
    sock.sendall(f'PUT {target(url)} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {size}\r\n\r\n'.encode())
    left = size
    while left:
        yield select.POLLOUT
        left -= sock.send(PATTERN[:left])
    fields = yield from head(sock)
    said = b''
    while len(said) < int(fields.get('content-length', 0)):
        said += yield from received(lambda: sock.recv(HEAD_BYTES_MAX))
    counted = re.search(rb'"bytes_received": ?(\d+)', said)
    if counted and int(counted[1]) != size:
        raise Failed(f'{size} bytes were sent and {int(counted[1])} counted')
    return size


def target(url):
    return url.path + (f'?{url.query}' if url.query else '')


def run(kind, url, connections, size, flags):
    """Runs all connections by turns; returns the bytes of all bodies."""
    poller = select.poll()
    tasks, total = {}, 0
    for _ in range(connections):
        sock = socket.create_connection((url.hostname, url.port))
        task = {'get': get, 'put': put}[kind](sock, url, size, flags)
        sock.setblocking(False)
        tasks[sock.fileno()] = [sock, task, next(task)]
        poller.register(sock, tasks[sock.fileno()][2])
    while tasks:
        ready = poller.poll(1000 * STALL_SECONDS)
        if not ready:
            raise Failed(f'nothing has come or gone for {STALL_SECONDS} s')
        for descriptor, _ in ready:
            sock, task, waits_for = tasks[descriptor]
            try:
                wanted = next(task)
                if wanted != waits_for:
                    poller.modify(sock, wanted)
                    tasks[descriptor][2] = wanted
            except StopIteration as end:
                if size and end.value != size:
                    raise Failed(f'{end.value} bytes came instead of {size}') from None
                total += end.value
                poller.unregister(sock)
                sock.close()
                del tasks[descriptor]
    return total


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=('get', 'put'), help=argparse.SUPPRESS)
    parser.add_argument('url', help=argparse.SUPPRESS)
    parser.add_argument('--connections', type=int, default=1, metavar='N', help='[default: 1]')
    parser.add_argument('--mib', type=int, default=0, metavar='N', help='of each body; for put')
    parser.add_argument('--drop', action='store_true', help='what comes')
    parser.add_argument('--cpu', type=int, metavar='N', help='to stay on')
    choice = parser.parse_args()
    if choice.cpu is not None:
        os.sched_setaffinity(0, {choice.cpu})
    flags = socket.MSG_TRUNC if choice.drop else 0
    begin, before = time.monotonic(), time.process_time()
    try:
        size = run(choice.kind, urlsplit(choice.url), choice.connections, choice.mib * MIB, flags)
    except (Failed, OSError, ValueError) as error:
        sys.exit(f'{choice.url}: {error}')
    print(json.dumps({'bytes': size, 'seconds': time.monotonic() - begin, 'cpu': time.process_time() - before}))


main()

#!/usr/bin/env python3
"""scripts/bench_sends.py [--rounds N] [--mib N]

The ways to send a large body, without a server: the CPU time of a sender and a receiver, each on its own CPU. Prints a
JSON object for each run: way, receiver (copies, or drops with MSG_TRUNC), round, sender's and receiver's CPU seconds a
GiB, GB/s, and for zerocopy the share that the kernel copied after all. First checks that all ways send the same bytes.
scripts/bench bulk makes a table of the results.

  send      send(2) from a pattern of 4 MiB
  blocks    sendmsg(2) of eight times the same 256 KiB, as /bin does
  zerocopy  send(2) with MSG_ZEROCOPY from the 4 MiB, completions read from the error queue
  sendfile  sendfile(2) from a sealed memfd of 4 MiB
  splice    vmsplice(2) of the 4 MiB into a pipe of 1 MiB, splice(2) to the socket"""
import argparse
import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import sys
import time
import traceback

MIB = 1 << 20
PATTERN_BYTES = 4 * MIB
BLOCK_BYTES = MIB // 4
PIPE_BYTES = MIB
RECEIVE_BYTES = MIB
# TCP_NOTSENT_LOWAT of tine for a client that reads fast.
NOTSENT_LOWAT_BYTES = MIB
ALPHABET = b'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
IP_RECVERR, ZEROCOPY_ORIGIN, ZEROCOPY_COPIED = 11, 5, 1
SECONDS_MAX = 120  # for one run; then an alarm ends both sides


class Way:
    """One way: `step` sends something of `left` bytes, or raises BlockingIOError."""

    def __init__(self, sock):
        self.sock = sock
        self.at = 0  # in the pattern
        self.pattern = memoryview(mmap.mmap(-1, self.pattern_bytes))
        self.pattern[:] = (ALPHABET * (self.pattern_bytes // 36 + 1))[:self.pattern_bytes]

    pattern_bytes = PATTERN_BYTES
    copied = None

    def part(self, left):
        return self.pattern[self.at:self.at + min(left, self.pattern_bytes - self.at)]

    def moved(self, count):
        self.at = (self.at + count) % self.pattern_bytes
        return count

    def finish(self):
        """Waits until the pattern could be changed."""


class Send(Way):
    def step(self, left):
        return self.moved(self.sock.send(self.part(left)))


class Blocks(Way):
    pattern_bytes = BLOCK_BYTES

    def step(self, left):
        most = min(left, 8 * self.pattern_bytes)
        parts = [self.part(most)]
        while (rest := most - sum(map(len, parts))) > 0:
            parts.append(self.pattern[:rest])
        return self.moved(self.sock.sendmsg(parts))


class Zerocopy(Way):
    def __init__(self, sock):
        super().__init__(sock)
        sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        self.sent = self.completed = self.copied = 0

    def step(self, left):
        self.reap()
        try:
            count = self.sock.send(self.part(left), MSG_ZEROCOPY)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # too many sends are not completed
                raise
            raise BlockingIOError from None
        self.sent += 1
        return self.moved(count)

    def reap(self):
        while self.completed < self.sent:
            try:
                _, fields, _, _ = self.sock.recvmsg(0, 128, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                return
            for level, kind, extended in fields:
                assert (level, kind) == (socket.IPPROTO_IP, IP_RECVERR), (level, kind)
                # struct sock_extended_err
                number, origin, _, code, _, low, high = struct.unpack('=IBBBBII', extended[:16])
                assert (number, origin) == (0, ZEROCOPY_ORIGIN), os.strerror(number)
                self.completed += high - low + 1
                self.copied += (high - low + 1) * (code & ZEROCOPY_COPIED)

    def finish(self):
        poller = select.poll()
        poller.register(self.sock, 0)  # completions are reported as errors
        while self.completed < self.sent:
            poller.poll(1000)
            self.reap()


class Sendfile(Way):
    def __init__(self, sock):
        super().__init__(sock)
        self.file = os.memfd_create('pattern', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(self.file, self.pattern)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS,
                    fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)

    def step(self, left):
        return self.moved(os.sendfile(self.sock.fileno(), self.file, self.at, min(left, self.pattern_bytes - self.at)))


class Splice(Way):
    def __init__(self, sock):
        super().__init__(sock)
        self.out, self.into = os.pipe()
        fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.piped = 0
        self.vmsplice = ctypes.CDLL(None, use_errno=True).vmsplice
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.pattern))

    def step(self, left):
        if self.piped == 0:
            count = min(left, self.pattern_bytes - self.at, PIPE_BYTES)
            slice_ = (ctypes.c_size_t * 2)(self.start + self.at, count)  # struct iovec
            self.piped = self.vmsplice(self.into, slice_, ctypes.c_size_t(1), 0)
            if self.piped < 0:
                self.piped, number = 0, ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        count = os.splice(self.out, self.sock.fileno(), self.piped, flags=os.SPLICE_F_NONBLOCK)
        self.piped -= count
        return self.moved(count)


WAYS = {'send': Send, 'blocks': Blocks, 'zerocopy': Zerocopy, 'sendfile': Sendfile, 'splice': Splice}


def send(sock, way, size):
    """Sends `size` bytes, waiting as a server does; returns its CPU time and what was copied."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, 25, NOTSENT_LOWAT_BYTES)  # TCP_NOTSENT_LOWAT
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    sender = WAYS[way](sock)
    before = time.process_time()
    left = size
    while left:
        try:
            left -= sender.step(left)
        except BlockingIOError:
            poller.poll()
    sender.finish()
    cpu = time.process_time() - before
    sock.shutdown(socket.SHUT_WR)
    return {'sender': cpu, 'copied': sender.copied and sender.copied / sender.sent}


def receive(sock, size, drops):
    room = memoryview(bytearray(RECEIVE_BYTES))
    flags = socket.MSG_TRUNC if drops else 0
    received, begin, before = 0, time.monotonic(), time.process_time()
    while count := sock.recv_into(room, RECEIVE_BYTES, flags):
        received += count
    seconds, cpu = time.monotonic() - begin, time.process_time() - before
    assert received == size, f'{received} of {size} bytes came'
    return {'receiver': cpu, 'rate': size / seconds / 1e9}


def compare(sock, size, period):
    """Receives and checks every byte."""
    expected = (ALPHABET * (period // 36 + 1))[:period] * (RECEIVE_BYTES // period + 2)
    at = 0
    while part := sock.recv(RECEIVE_BYTES):
        assert expected[at % period:at % period + len(part)] == part, f'a wrong byte after {at}'
        at += len(part)
    assert at == size, f'{at} of {size} bytes came'
    return {}


def side(cpu, report, work):
    """A process on this CPU; what its work returns is written to `report`."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.sched_setaffinity(0, {cpu})
        os.write(report, json.dumps(work()).encode() + b'\n')
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def transfer(way, size, cpus, receiver):
    """One connection, one sender, one receiver: the reports of both."""
    listener = socket.create_server(('127.0.0.1', 0))
    result, report = os.pipe()

    def sending():
        with listener.accept()[0] as sock:
            return send(sock, way, size)

    def receiving():
        with socket.create_connection(listener.getsockname()) as sock:
            return receiver(sock)

    sides = [side(cpu, report, work) for cpu, work in zip(cpus, (sending, receiving))]
    os.close(report)
    listener.close()
    deadline = time.monotonic() + SECONDS_MAX
    said = b''
    with open(result, 'rb') as lines:
        poller = select.poll()
        poller.register(lines)
        while poller.poll(max(0, 1000 * (deadline - time.monotonic()))):
            part = os.read(lines.fileno(), 4096)
            if not part:
                break
            said += part
        else:
            for child in sides:
                os.kill(child, 9)
    statuses = [os.waitpid(child, 0)[1] for child in sides]
    if any(statuses):
        sys.exit(f'{way} failed')
    return {key: value for line in said.splitlines() for key, value in json.loads(line).items()}


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3, metavar='N', help='[default: 3]')
    parser.add_argument('--mib', type=int, default=1024, metavar='N', help='of a run [default: 1024]')
    choice = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        sys.exit('two CPUs are needed, one for each side')
    for way in WAYS:
        period = WAYS[way].pattern_bytes
        transfer(way, 33 * MIB + 1, cpus, lambda sock: compare(sock, 33 * MIB + 1, period))
    for number in range(choice.rounds):
        for drops in (False, True):
            for way in WAYS:
                said = transfer(way, choice.mib * MIB, cpus, lambda sock: receive(sock, choice.mib * MIB, drops))
                said['sender'] *= 1024 / choice.mib
                said['receiver'] *= 1024 / choice.mib
                print(json.dumps({'way': way, 'drops': drops, 'round': number} | said), flush=True)


if __name__ == '__main__':
    main()

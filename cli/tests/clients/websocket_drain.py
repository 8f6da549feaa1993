"""A stop of the server ends every WebSocket with 1001, idle or busy.

    websocket_drain.py ws://HOST:PORT PID-OF-THE-MASTER"""
import os
import signal
import sys

import websockets
from websockets.sync.client import connect

base, pid = sys.argv[1], int(sys.argv[2])
idle = connect(base + '/ws')
used = connect(base + '/ws')
used.send('hello')
assert used.recv(20) == 'hello'
ticker = connect(base + '/ws/ticker?every=5')
ticker.recv(20)
halfway = connect(base + '/ws')


def half_a_message():
    """Its second half is never sent."""
    yield 'half'
    os.kill(pid, signal.SIGTERM)
    expect_going_away('half a message', halfway)


def expect_going_away(what, ws):
    try:
        while True:
            ws.recv(20)
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == 1001, f'{what}: {closed}'


try:
    halfway.send(half_a_message())
except websockets.ConnectionClosed:
    pass
for what, ws in ('idle', idle), ('used', used), ('ticker', ticker):
    expect_going_away(what, ws)

"""websockets, as its users use it, against /ws, /ws/close and /ws/ticker.

    websocket.py ws://HOST:PORT [UNIX-SOCKET]

With the second argument everything goes through the proxy that listens there."""
import asyncio
import json
import os
import sys

import websockets
from websockets.sync.client import connect, unix_connect

BASE, *SOCKET = sys.argv[1:]
LARGEST = 16 << 20  # the server's limit


def opened(path):
    """A connection that accepts messages of any size, within time limits."""
    options = {'max_size': None, 'open_timeout': 20, 'close_timeout': 20}
    return unix_connect(SOCKET[0], BASE + path, **options) if SOCKET else connect(BASE + path, **options)


def echoed(ws, message):
    ws.send(message)
    return ws.recv(20)


def close_of(ws):
    """The code and the reason with which the server closes."""
    try:
        while True:
            ws.recv(20)
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd is not None, 'the connection ended without a close frame'
        return closed.rcvd.code, closed.rcvd.reason


def text_and_binary():
    with opened('/ws') as ws:
        for message in '', 'tine ♆', b'', bytes(range(256)), 'x' * 125, 'x' * 126, b'y' * 65535, b'y' * 65536:
            answer = echoed(ws, message)
            assert answer == message and type(answer) is type(message)


def large_messages():
    with opened('/ws') as ws:
        message = os.urandom(LARGEST - 1) + b'!'
        assert echoed(ws, message) == message
        assert echoed(ws, '♆' * (LARGEST // 3)) == '♆' * (LARGEST // 3)


def too_large_a_message():
    with opened('/ws') as ws:
        try:
            ws.send(bytes(LARGEST + 1))
        except websockets.ConnectionClosed:
            pass  # while it was still sending
        # A proxy that cannot pass on the rest of the message need not wait for the server's reaction.
        if not SOCKET:
            assert close_of(ws)[0] == 1009


def fragments_with_pings_between():
    with opened('/ws') as ws:
        pongs = []

        def fragments():
            for n in range(10):
                pongs.append(ws.ping(f'between {n}'))
                yield '♆' * n
        assert echoed(ws, fragments()) == '♆' * 45
        assert all(pong.wait(20) for pong in pongs)
        assert echoed(ws, [b'one', b'', b'two']) == b'onetwo'


def many_messages_before_the_first_answer():
    with opened('/ws') as ws:
        for n in range(1000):
            ws.send(str(n))
        assert [ws.recv(20) for _ in range(1000)] == [str(n) for n in range(1000)]


def codes_of_the_clients_close():
    for code, reason in (1000, ''), (1001, 'gone'), (3000, 'of a library'), (4999, '♆'):
        with opened('/ws') as ws:
            ws.close(code, reason)
            assert (ws.close_code, ws.protocol.close_rcvd.code) == (code, code)


def the_servers_close():
    for message, answer in ('hello', 'Server received: hello'), (b'\xff', b'Server received: \xff'):
        with opened('/ws/close') as ws:
            assert echoed(ws, message) == answer
            assert close_of(ws) == (1000, 'server done')


def a_ticker():
    with opened('/ws/ticker?every=10&count=5') as ws:
        ticks = list(ws)  # ends with the server's close, which has to be a normal one
        assert [json.loads(tick)['n'] for tick in ticks] == [1, 2, 3, 4, 5], ticks
        assert close_of(ws)[0] == 1000
    with opened('/ws/ticker?every=5') as ws:
        assert [json.loads(ws.recv(20))['n'] for _ in range(10)] == list(range(1, 11))


def many_at_once():
    async def one(n):
        how = websockets.unix_connect(SOCKET[0], BASE + '/ws') if SOCKET else websockets.connect(BASE + '/ws')
        async with how as ws:
            for round in range(10):
                await ws.send(f'{n} {round}')
                assert await ws.recv() == f'{n} {round}'

    async def all_of_them():
        await asyncio.wait_for(asyncio.gather(*map(one, range(50))), 40)
    asyncio.run(all_of_them())


for test in (text_and_binary, large_messages, too_large_a_message, fragments_with_pings_between,
             many_messages_before_the_first_answer, codes_of_the_clients_close, the_servers_close, a_ticker,
             many_at_once):
    print(test.__name__, flush=True)
    test()

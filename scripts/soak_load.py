"""The mixed load of scripts/soak: what is requested, and whether the response is right."""
import asyncio
import contextvars
import random
import time

import aiohttp

TIMEOUT_SECONDS = 60
BODY = bytes(range(256)) * 400


class Wrong(Exception):
    """A response that is not what was asked for."""


class ToldToLeave(Exception):
    """A WebSocket that a worker that drains has closed, by 1001 (RFC 6455, 7.4.1)."""


def check(is_right, what):
    if not is_right:
        raise Wrong(what)


async def small(session, url):
    async with session.get(f'{url}/health') as response:
        check(response.status == 200 and b'ok' in await response.read(), 'GET /health')


async def small_and_close(_, url):
    async with aiohttp.ClientSession(headers={'Connection': 'close'}) as session:
        await small(session, url)


async def delayed(session, url):
    async with session.get(f'{url}/delay/{random.randint(1, 200)}') as response:
        check(response.status == 200 and await response.read(), 'GET /delay')


async def large(session, url):
    async with session.get(f'{url}/bin/1M') as response:
        check(len(await response.read()) == 1 << 20, 'GET /bin/1M')


async def chunked(session, url):
    async with session.get(f'{url}/chunked/10?size=1000&delay=5') as response:
        check(len(await response.read()) == 10_000, 'GET /chunked/10')


async def upload(session, url):
    async with session.post(f'{url}/upload', data=BODY) as response:
        check(str(len(BODY)) in await response.text(), 'POST /upload')


async def compressed(session, url):
    async with session.get(f'{url}/gzip') as response:
        check(response.status == 200 and 'method' in await response.text(), 'GET /gzip')


async def websocket(session, url):
    async with session.ws_connect(f'{url}/ws') as ws:
        for size in (1, 1000, 70_000):
            await ws.send_bytes(BODY[:size])
            message = await ws.receive()
            if message.type == aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.GOING_AWAY:
                raise ToldToLeave
            if message.type != aiohttp.WSMsgType.BINARY:
                raise ConnectionError(f'a WebSocket has ended: {message.type.name} {message.data}')
            check(message.data == BODY[:size], 'the echo of /ws')


async def slow_reader(session, url):
    async with session.get(f'{url}/bin/2M') as response:
        length = 0
        while piece := await response.content.read(64 << 10):
            length += len(piece)
            await asyncio.sleep(0.05)
        check(length == 2 << 20, 'GET /bin/2M, read slowly')


async def leaves(_, url):
    """Leaves in the middle of a response."""
    reader, writer = await connect(url)
    writer.write(b'GET /bin/100M HTTP/1.1\r\nHost: soak\r\n\r\n')
    await reader.readexactly(10_000)
    writer.transport.abort()


async def malformed(_, url):
    reader, writer = await connect(url)
    writer.write(b'GET / HTTP/1.1\r\nHost: soak\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')
    line = await asyncio.wait_for(reader.readline(), TIMEOUT_SECONDS)
    writer.close()
    check(line.startswith(b'HTTP/1.1 400 '), f'a malformed request was answered with {line!r}')


async def connect(url):
    host, port = url.removeprefix('http://').split(':')
    return await asyncio.open_connection(host, int(port))


# What is requested, and how often a second.
MIX = ((small, 60), (small_and_close, 10), (delayed, 20), (large, 4), (chunked, 5), (upload, 5), (compressed, 10),
       (websocket, 3), (slow_reader, 1), (leaves, 1), (malformed, 2))
# What a client sees of a worker that was killed.
LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, aiohttp.WSServerHandshakeError,
        ConnectionError, asyncio.IncompleteReadError)
# What it sees of a kept connection that the server closes, as it is idle, while a request is on its way: the client cannot know
# (RFC 9112, 9.5). It may repeat what is idempotent, which aiohttp does once; a POST it may not.
CROSSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
# A load that runs this late says nothing of the server: the client has not seen for as long that a connection is closed.
LAG_SECONDS_MAX = 0.5
LAG_INTERVAL_SECONDS = 0.1


# Of the request of this task: whether its connection was used before.
IS_KEPT = contextvars.ContextVar('is_kept')


async def connection_is_kept(*_):
    IS_KEPT.get().append(True)


async def connection_is_new(*_):
    IS_KEPT.get().clear()


class MixedLoad:
    def __init__(self, url, seed):
        self.url, self.random = url, random.Random(seed)
        self.served = 0
        self.told_to_leave = 0
        self.late = []  # (from, to): it ran late
        self.lost = []  # (seconds, what)
        self.crossed = 0
        self.failures = []  # (seconds, what)
        self.latencies = []  # of small requests since the last look, in seconds
        self.is_over = False

    async def run(self):
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(connection_is_kept)
        trace.on_connection_create_start.append(connection_is_new)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[trace]) as session:
            await asyncio.gather(self.keep_time(), *(self.repeat(session, kind, rate) for kind, rate in MIX))

    async def keep_time(self):
        while not self.is_over:
            began = time.monotonic()
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            if time.monotonic() - began > LAG_INTERVAL_SECONDS + LAG_SECONDS_MAX:
                self.late.append((began, time.monotonic()))

    async def repeat(self, session, kind, per_second):
        """Begins a request at these average intervals, and waits for all in the end."""
        tasks = set()
        while not self.is_over:
            task = asyncio.create_task(self.one(session, kind))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(self.random.expovariate(per_second))
        if tasks:
            await asyncio.wait(tasks)

    async def one(self, session, kind):
        began = time.monotonic()
        kept = []
        IS_KEPT.set(kept)
        try:
            await kind(session, self.url)
        except ToldToLeave:
            self.told_to_leave += 1
        except LOST as e:
            if kept and isinstance(e, CROSSED):
                self.crossed += 1
            else:
                self.lost.append((time.monotonic(), f'{kind.__name__}: {e!r}'))
        except (Wrong, aiohttp.ClientError, asyncio.TimeoutError, OSError) as e:
            self.failures.append((time.monotonic(), f'{kind.__name__}: {e!r}'))
        else:
            self.served += 1
            if kind is small:
                self.latencies.append(time.monotonic() - began)

"""Requests at a given pace, and what became of each: for scripts/load-test and scripts/soak."""
import asyncio
import statistics
import time
from dataclasses import dataclass

import aiohttp

# A request without an end counts as an error after this long.
TIMEOUT_SECONDS = 30
REFUSALS = (429, 503)


@dataclass
class Done:
    """One request; times are seconds since the load began."""
    phase: int
    began: float
    took: float
    status: int  # 0: no response
    error: str = ''

    @property
    def ended(self):
        return self.began + self.took

    @property
    def is_served(self):
        return 200 <= self.status < 400

    @property
    def is_refused(self):
        return self.status in REFUSALS


@dataclass
class Phase:
    """`clients` that each begin a request every `period` seconds, whether or not the last one has ended: a slow server
    is not spared (no coordinated omission)."""
    name: str
    clients: int
    period: float
    seconds: float
    path: str
    body_bytes: int = 0
    # The least and the most of its requests that may be refused, of 1.
    refused: tuple = (0, 1)
    # Without requests, before it begins.
    pause: float = 0


class Load:
    """Runs phases against a server, one after the other."""

    def __init__(self, url, phases):
        self.url, self.phases = url.rstrip('/'), phases
        self.done = []
        self.in_flight = 0
        self.phase = 0
        self.began = time.monotonic()

    def now(self):
        return time.monotonic() - self.began

    async def run(self, on_second):
        """`on_second` is called about once a second."""
        # A connection for each request that is in flight; none is opened for the next one of the same client.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        ticking = asyncio.create_task(self._tick(on_second))
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                self.began = time.monotonic()
                tasks = set()
                for number, phase in enumerate(self.phases):
                    self.phase = number
                    await self._pace(session, number, phase, tasks)
                if tasks:
                    await asyncio.wait(tasks)
        finally:
            ticking.cancel()
        on_second()

    async def _tick(self, on_second):
        while True:
            await asyncio.sleep(1)
            on_second()

    async def _pace(self, session, number, phase, tasks):
        await asyncio.sleep(phase.pause)
        begin, step = self.now(), phase.period / phase.clients
        for count in range(round(phase.seconds / step)):
            await asyncio.sleep(max(0, begin + count * step - self.now()))
            task = asyncio.create_task(self._request(session, number, phase))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(max(0, begin + phase.seconds - self.now()))

    async def _request(self, session, number, phase):
        began, status, error = self.now(), 0, ''
        self.in_flight += 1
        try:
            how = {'data': bytes(phase.body_bytes)} if phase.body_bytes else {}
            async with session.request('POST' if how else 'GET', self.url + phase.path, **how) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as e:
            error = f'{type(e).__name__}: {e}'
        self.in_flight -= 1
        self.done.append(Done(number, began, self.now() - began, status, error))


def percentile(values, percent):
    """Of values in any order; None if there is none."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method='inclusive')[percent - 1]

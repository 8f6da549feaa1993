"""httpx over HTTP/2, which the package h2 speaks: one connection, many requests, bodies each way, a reset. The
argument is the server's URL."""
import asyncio
import sys

import httpx

base = sys.argv[1]


def connect():
    return httpx.AsyncClient(base_url=base, http1=False, http2=True, timeout=20)


async def an_echo_has_what_was_sent(client):
    answer = await client.patch('/anything/x?y=1', content=b'h\xc3\xa9', headers={'X-A': '1', 'Cookie': 'a=b'})
    echo = answer.json()
    assert answer.http_version == 'HTTP/2'
    assert (echo['method'], echo['body'], echo['headers']['X-A'], echo['headers']['Cookie']) == ('PATCH', 'hé', '1', 'a=b')


async def many_at_a_time(client):
    sizes = [number * 1001 + 1 for number in range(100)]
    answers = await asyncio.gather(*(client.get(f'/bin/{size}') for size in sizes))
    assert [len(answer.content) for answer in answers] == sizes


async def a_large_body_each_way(client):
    async def body():
        for _ in range(64):
            yield b'x' * 32768

    up, down = await asyncio.gather(client.put('/upload', content=body()), client.get('/bin/3M'))
    assert up.json()['bytes_received'] == 2 << 20 and len(down.content) == 3 << 20


async def a_reset_is_an_error_of_its_stream(client):
    try:
        await client.get('/fault/reset?after=1000&code=CANCEL')
    except httpx.RemoteProtocolError as error:
        assert 'error_code:8' in str(error).replace(' ', ''), error
    else:
        raise AssertionError('no error')
    assert (await client.get('/health')).status_code == 200


async def a_response_that_is_left_is_cancelled(client):
    async with client.stream('GET', '/stream/50') as answer:
        async for _ in answer.aiter_bytes():
            break
    assert (await client.get('/health')).status_code == 200


async def main():
    async with connect() as client:
        for part in (an_echo_has_what_was_sent, many_at_a_time, a_large_body_each_way, a_reset_is_an_error_of_its_stream,
                     a_response_that_is_left_is_cancelled):
            await part(client)


asyncio.run(main())

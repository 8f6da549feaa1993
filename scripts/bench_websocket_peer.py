"""A WebSocket echo by Python's websockets, which scripts/bench websocket measures beside tine. Prints its address."""
import asyncio

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    # As tine: no compression, messages of up to 16 MiB.
    async with serve(echo, '127.0.0.1', 0, compression=None, max_size=16 << 20) as server:
        host, port = server.sockets[0].getsockname()
        print(f'http://{host}:{port}', flush=True)
        await server.serve_forever()


asyncio.run(main())

"""A WebSocket server that sends everything back. Prints its address, ends with its parent."""

import asyncio
import sys

import websockets


async def echo(connection) -> None:
    async for message in connection:
        if message == "please close":
            await connection.close(4001, "as asked")
            return
        await connection.send(message)


async def main() -> None:
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        host, port = next(iter(server.sockets)).getsockname()
        print(f"{host}:{port}", flush=True)
        # The end of stdin is the end of the test.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

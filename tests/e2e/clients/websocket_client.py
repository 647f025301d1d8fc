"""WebSocket through leeward: texts, large binaries, pings, many at once, a close with its code."""

import asyncio
import sys

import websockets


async def talk(url: str, number: int) -> None:
    async with websockets.connect(url, max_size=None) as connection:
        for message in ["", f"hello {number}", "é" * 1000, bytes(1_000_000)]:
            await connection.send(message)
            assert await connection.recv() == message
        waiter = await connection.ping()
        await asyncio.wait_for(waiter, 10)
        await connection.send("please close")
        try:
            await connection.recv()
            raise AssertionError("no close")
        except websockets.exceptions.ConnectionClosed as closed:
            assert closed.rcvd.code == 4001, closed
            assert closed.rcvd.reason == "as asked", closed


async def main() -> None:
    url = f"ws://{sys.argv[1]}/ws"
    await asyncio.gather(*(talk(url, number) for number in range(10)))
    print("all well")


if __name__ == "__main__":
    asyncio.run(main())

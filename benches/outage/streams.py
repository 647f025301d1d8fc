"""The WebSocket clients of one run: each holds a stream, notes every tick, and comes back when cut.

A stream that falls silent is left alone: when the proxy ends it is what the bench wants to know.
"""

import asyncio
import base64
import time

# A client that is cut comes back within this time, as well-behaved ones do.
RETURN_WITHIN = 0.2
HANDSHAKE_TIMEOUT = 5


class Crowd:
    """All streams; what is recorded is one line an opening, a tick and an end."""

    def __init__(self, settings, dice, record):
        self.settings, self.dice, self.record = settings, dice, record
        self.until = settings.begin + int(settings.seconds * 1e9)

    async def run(self):
        tasks = [asyncio.ensure_future(self.stream(number)) for number in range(self.settings.streams)]
        await asyncio.sleep((self.until - time.monotonic_ns()) / 1e9)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(self, number):
        # They begin spread over the half second before the load.
        await asyncio.sleep(max(0, (self.settings.begin - time.monotonic_ns()) / 1e9) * self.dice.random())
        while True:
            how = await self.once(number)
            self.note(number, "closed", how)
            await asyncio.sleep(self.dice.random() * RETURN_WITHIN)

    async def once(self, number):
        """One stream from its handshake to its end; how it ended."""
        writer = None
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                reader, writer = await asyncio.open_connection(self.settings.address, self.settings.port)
                key = base64.b64encode(self.dice.randbytes(16))
                writer.write(b"GET /stream HTTP/1.1\r\nHost: exchange\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"X-Id: s%d\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % (number, key))
                head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                return f"status {status}"
            self.note(number, "open", "")
            return await self.read(number, reader)
        except TimeoutError:
            return "handshake timeout"
        except (OSError, asyncio.IncompleteReadError) as error:
            return "end" if isinstance(error, asyncio.IncompleteReadError) else "reset"
        finally:
            if writer:
                writer.transport.abort()

    async def read(self, number, reader):
        """Frames until a Close; the code of that."""
        while True:
            first, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2))
            payload = await reader.readexactly(size)
            if first & 0x0F == 8:
                return f"close {int.from_bytes(payload[:2])}" if len(payload) > 1 else "close"
            if first & 0x0F == 1:
                self.note(number, "tick", payload.decode("latin-1").rpartition('"by":"')[2].rstrip('"}'))

    def note(self, number, event, text):
        self.record({"stream": number, "t": time.monotonic_ns(), "event": event, "text": text})

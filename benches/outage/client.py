#!/usr/bin/env python3
"""The clients of one run: reads and orders in an open loop, and WebSockets that come back when cut.

Started by `run` in the clients' namespace, with one JSON argument (see `Settings`). Requests go out when
they are due, whatever became of the earlier ones, on connections that are kept alive, and latency counts
from when they were due. Nothing is tried twice: what a client sees is what is recorded, one JSON line a
request. Times are nanoseconds of the machine's monotonic clock.
"""

import asyncio
import contextlib
import dataclasses
import gc
import json
import random
import sys
import time

import streams

ORDER_BODY = b'{"symbol":"BTCUSD","side":"buy","price":"64000.5","quantity":"0.25","id":"%s"}'
LABEL = b"leeward-outcome"


@dataclasses.dataclass
class Settings:
    """`begin` is when the load begins (ns), the rest is counts, seconds and rates a second."""
    address: str
    port: int
    record: str
    begin: int
    seconds: float
    reads: float
    orders: float
    streams: int
    timeout: float
    seed: int


class Fleet:
    """The idle connections, and the record."""

    def __init__(self, settings, record):
        self.settings, self.record, self.idle, self.pending = settings, record, [], 0

    def send(self, kind, number, due):
        ident = f"{kind}{number}"
        if kind == "o":
            body = ORDER_BODY % ident.encode()
            head = b"POST /order HTTP/1.1\r\nHost: exchange\r\nContent-Type: application/json\r\n" \
                   b"X-Id: %s\r\nContent-Length: %d\r\n\r\n" % (ident.encode(), len(body))
        else:
            head, body = b"GET /ticker HTTP/1.1\r\nHost: exchange\r\nX-Id: %s\r\n\r\n" % ident.encode(), b""
        request = Request(self, ident, due, head + body)
        self.pending += 1
        # The most recently used one first, so that those that are not needed grow old and end.
        if self.idle:
            self.idle.pop().carry(request)
        else:
            asyncio.ensure_future(self.connect(request))

    async def connect(self, request):
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                lambda: Wire(self), self.settings.address, self.settings.port)
        except OSError as error:
            request.end(0, f"connect: {error.strerror}")
            return
        if request.ended:
            self.idle.append(wire)
        else:
            wire.carry(request)


class Request:
    """One request until its end; the first end counts."""

    def __init__(self, fleet, ident, due, data):
        self.fleet, self.ident, self.due, self.data, self.wire, self.ended = fleet, ident, due, data, None, False
        self.sent = time.monotonic_ns()
        self.timer = asyncio.get_running_loop().call_later(fleet.settings.timeout, self.overdue)

    def overdue(self):
        wire = self.wire
        self.end(0, "timeout")
        if wire:
            wire.transport.abort()

    def end(self, status, error="", label="", by="", again=""):
        if self.ended:
            return
        self.ended = True
        self.timer.cancel()
        self.fleet.pending -= 1
        self.fleet.record({"id": self.ident, "start": self.due, "lag": self.sent - self.due, "end": time.monotonic_ns(),
                           "status": status, "error": error, "label": label, "by": by, "retry_after": again})


class Wire(asyncio.Protocol):
    """A connection to the proxy, with one request at a time."""

    def __init__(self, fleet):
        self.fleet, self.request, self.buffer = fleet, None, b""

    def connection_made(self, transport):
        self.transport = transport

    def carry(self, request):
        self.request, request.wire = request, self
        self.transport.write(request.data)

    def data_received(self, data):
        self.buffer += data
        if self.request is None:
            self.transport.abort()  # Nothing was asked: such a connection is of no use.
            return
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        body = whole_body(fields, self.buffer[end + 4:])
        if body is not None:
            self.finish(int(lines[0].split(b" ", 2)[1]), fields, body)

    def finish(self, status, fields, body):
        request, self.request, self.buffer = self.request, None, b""
        error = ""
        if status == 200:
            # An answer that belongs to another request would be worse than none.
            with contextlib.suppress(ValueError):
                error = "" if json.loads(body).get("id") == request.ident else "answer of another request"
        text = lambda name: fields.get(name, b"").decode("latin-1")
        request.end(status, error, text(LABEL), text(b"x-by"), text(b"retry-after"))
        if fields.get(b"connection", b"").lower() == b"close":
            self.transport.close()
        else:
            self.fleet.idle.append(self)

    def connection_lost(self, _):
        if self in self.fleet.idle:
            self.fleet.idle.remove(self)
        if self.request:
            self.request.end(0, "cut" if self.buffer else "reset")


def whole_body(fields, data):
    """The body when all of it is here, else None. A chunked one is returned as it came."""
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return data if data.endswith(b"0\r\n\r\n") else None
    size = int(fields.get(b"content-length", 0))
    return data[:size] if len(data) >= size else None


async def offer(fleet, kind, rate, dice):
    """The open loop: evenly spaced, each moved by up to half a gap so that nothing locks in step."""
    settings = fleet.settings
    for number in range(int(settings.seconds * rate)):
        due = settings.begin + int((number + dice.random()) / rate * 1e9)
        if (wait := (due - time.monotonic_ns()) / 1e9) > 0:
            await asyncio.sleep(wait)
        fleet.send(kind, number, due)


async def main():
    settings = Settings(**json.loads(sys.argv[1]))
    dice = random.Random(settings.seed)
    # Buffered: a run of an hour fits, and a write now and then costs less than a millisecond.
    with open(settings.record, "w", encoding="ascii") as file:
        encode = json.JSONEncoder(separators=(",", ":")).encode
        record = lambda line: file.write(encode(line) + "\n")
        fleet, crowd = Fleet(settings, record), streams.Crowd(settings, dice, record)
        gc.collect()
        gc.freeze()
        gc.disable()
        await asyncio.gather(offer(fleet, "r", settings.reads, dice), offer(fleet, "o", settings.orders, dice), crowd.run())
        while fleet.pending:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())

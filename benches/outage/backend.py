#!/usr/bin/env python3
"""One test backend: HTTP/1.1 and WebSockets on one address, faults on demand, and a record of all it did.

Started by `run`, one process a backend, so that it can be killed and stopped like a real one. Commands
are JSON lines on stdin; the end of stdin ends it in good order, as a rolling restart does, so that none is
left behind. The record is a file of JSON lines, written by one system call before anything is answered:
what a killed backend executed is known. Times are nanoseconds of the machine's monotonic clock.

    backend.py NAME ADDRESS PORT RECORD SEED DELAY_MS

`/healthz` is the probe's path, `/stream` the WebSocket, every POST an order (executed once its body is
here), everything else a read. What a request is called stands in its `X-Id` field.
"""

import asyncio
import base64
import contextlib
import gc
import hashlib
import json
import os
import random
import socket
import struct
import sys
import time

LATENCY = 0.002
TICK = 0.2
READ_BODY = 1024
# What is in flight when a backend ends in good order gets this long.
LEAVE_WITHIN = 2
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def burst(limit):
    """How many requests a limit takes at once."""
    return max(1.0, limit / 10)


class Backend:
    """What all connections share: the fault in force, the record, the allowance."""

    def __init__(self, name, record, seed, delay):
        self.name, self.delay = name, delay
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.random = random.Random(seed)
        self.connections, self.leaving = set(), False
        self.fault = {}
        self.allowance = self.refilled = 0.0

    def command(self, line):
        """Takes a fault: `traffic` (storm, gray, slow, cut; orders: a storm for orders alone), `health` (red,
        slow), `lag` (seconds more),
        `limit` (requests a second, the rest gets 503; `back_pressure` adds Retry-After), `close_idle`."""
        order = json.loads(line)
        if order.pop("close_idle", False):
            for connection in list(self.connections):
                connection.close_if_idle()
        else:
            # A site that did nothing until now has its whole burst left.
            self.fault, self.allowance, self.refilled = order, burst(order.get("limit", 0)), time.monotonic()
        self.note("command", json.dumps(order).replace('"', "'"), 0)

    def note(self, event, ident, status):
        line = f'{{"t":{time.monotonic_ns()},"by":"{self.name}","event":"{event}","id":"{ident}","status":{status}}}\n'
        os.write(self.record, line.encode())

    def full(self):
        """Whether the limit refuses this request: a bucket that holds a tenth of a second."""
        limit = self.fault.get("limit")
        if limit is None:
            return False
        now = time.monotonic()
        self.allowance = min(burst(limit), self.allowance + (now - self.refilled) * limit)
        self.refilled = now
        if self.allowance < 1:
            return True
        self.allowance -= 1
        return False

    def judge(self, event, ident):
        """Status, extra fields, delay and whether the answer is cut; writes the record."""
        traffic, cut, status = self.fault.get("traffic"), False, 200
        delay = self.delay + LATENCY + self.fault.get("lag", 0)
        if self.full():
            self.note("refused-" + event, ident, 503)
            return 503, b"Retry-After: 1\r\n" if self.fault.get("back_pressure") else b"", delay, False
        if traffic == "storm" or traffic == "orders" and event == "order":
            status = 503
        elif traffic == "gray" and self.random.random() < 0.3:
            status = 500
        elif traffic == "slow":
            delay += 3
        elif traffic == "cut":
            cut = self.random.random() < 0.5
        # An order counts as executed whatever is said of it then: the harsh reading.
        self.note(event, ident, -1 if cut else status)
        return status, b"", delay, cut

    async def leave(self):
        """Ends in good order: what is idle at once, streams with a Close, the rest once it is answered."""
        self.leaving = True
        for connection in list(self.connections):
            connection.leave()
        deadline = time.monotonic() + LEAVE_WITHIN
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)


class Connection(asyncio.Protocol):
    """One connection: a request at a time, or a stream of ticks."""

    def __init__(self, backend):
        self.backend, self.buffer, self.timer, self.ticks = backend, b"", None, None

    def connection_made(self, transport):
        self.transport = transport
        self.backend.connections.add(self)

    def connection_lost(self, _):
        self.backend.connections.discard(self)
        if self.timer:
            self.timer.cancel()

    def close_if_idle(self):
        if self.timer is None and not self.buffer:
            self.transport.close()

    def leave(self):
        if self.ticks is not None:
            self.transport.write(b"\x88\x02\x03\xe9")  # 1001: going away.
            self.transport.close()
        else:
            self.close_if_idle()

    def data_received(self, data):
        if self.ticks is not None:
            self.frame(data)
            return
        self.buffer += data
        if self.timer is None:
            self.take()

    def take(self):
        """Takes the next request of the buffer once it is whole."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        size = end + 4 + int(fields.get(b"content-length", 0))
        if len(self.buffer) < size:
            return
        self.buffer = self.buffer[size:]
        method, target, _ = lines[0].split(b" ", 2)
        self.handle(method, target, fields)

    def handle(self, method, target, fields):
        if target == b"/healthz":
            health = self.backend.fault.get("health")
            delay = self.backend.delay + (3 if health == "slow" else LATENCY)
            self.later(delay, self.answer, 503 if health == "red" else 200, b"", b"ok", False)
            return
        ident = fields.get(b"x-id", b"").decode()
        stream = target == b"/stream" and b"sec-websocket-key" in fields
        event = "stream" if stream else "order" if method == b"POST" else "read"
        status, extra, delay, cut = self.backend.judge(event, ident)
        if stream and status == 200 and not cut:
            self.later(delay, self.upgrade, fields[b"sec-websocket-key"])
            return
        body = json.dumps({"id": ident, "by": self.backend.name}).encode()
        self.later(delay, self.answer, status, extra, body.ljust(READ_BODY if event == "read" else 0), cut)

    def later(self, delay, then, *arguments):
        self.timer = asyncio.get_running_loop().call_later(delay, then, *arguments)

    def answer(self, status, extra, body, cut):
        if self.backend.leaving:
            extra += b"Connection: close\r\n"
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-By: %s\r\n%s\r\n" % (
            status, len(body), self.backend.name.encode(), extra)
        if cut:
            self.transport.write(head + body[:len(body) // 2])
            # A moment, so that the first half is on its way before the reset takes the rest.
            self.later(0.005, self.reset)
            return
        self.transport.write(head + body)
        self.timer = None
        if self.backend.leaving:
            self.transport.close()
        elif self.buffer:
            self.take()

    def reset(self):
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def upgrade(self, key):
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"X-By: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n" % (self.backend.name.encode(), accept))
        self.ticks = 0
        self.tick()

    def tick(self):
        self.ticks += 1
        text = b'{"tick":%d,"by":"%s"}' % (self.ticks, self.backend.name.encode())
        self.transport.write(bytes((0x81, len(text))) + text)
        self.later(TICK, self.tick)

    def frame(self, data):
        """A frame of the client: only its Close matters (RFC 6455 section 5.5.1)."""
        if data and data[0] & 0x0F == 8:
            self.transport.write(b"\x88\x00")
            self.transport.close()


async def main():
    name, address, port, record, seed, delay = sys.argv[1:]
    loop = asyncio.get_running_loop()
    backend = Backend(name, record, int(seed), int(delay) / 1000)
    server = await loop.create_server(lambda: Connection(backend), address, int(port), backlog=4096)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    # A collection would be a pause of the backend's own.
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    backend.note("started", "", 0)
    while line := await commands.readline():
        backend.command(line)
    server.close()
    await backend.leave()


if __name__ == "__main__":
    asyncio.run(main())

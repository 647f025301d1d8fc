"""Clients of HTTP/2 by a library of their own: one that keeps the rules, and some that reset, stall
and flood beside it. The good one must be served at every moment.

Usage: http2_client.py HOST:PORT
"""

import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "api.example")]
TIMEOUT = 20


class Client:
    """One connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def open(self, path, ends=True, method="GET"):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), *HEAD[1:], (":path", path)]
        self.h2.send_headers(stream, head, end_stream=ends)
        self.flush()
        return stream

    def events(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        events = self.h2.receive_data(data)
        self.flush()
        return events

    def get(self, path):
        """The status and the body of an answer."""
        stream, status, body = self.open(path), None, b""
        while True:
            for event in self.events():
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                    self.flush()
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"reset: {event.error_code}")

    def close(self):
        self.socket.close()


def serve_well(address, stop, served, wrong):
    """Asks again and again, small things and large ones."""
    client = Client(address)
    while not stop.is_set():
        for path, size in [("/read/x", 4), ("/read/bytes/200000", 200000)]:
            started = time.monotonic()
            status, body = client.get(path)
            took = time.monotonic() - started
            served.append(took)
            if status != 200 or len(body) != size or took > 5:
                wrong.append((path, status, len(body), took))
    client.close()


def resets(address):
    """Asks and takes it back at once, as much as it may."""
    client = Client(address)
    try:
        for _ in range(2000):
            stream = client.open("/read/x")
            client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            client.flush()
    except (ConnectionError, OSError):
        pass
    client.close()


def stalls_reading(address):
    """Asks for much and never opens its window."""
    client = Client(address)
    streams = [client.open("/read/bytes/200000") for _ in range(20)]
    ended, deadline = 0, time.monotonic() + TIMEOUT
    while ended < len(streams) and time.monotonic() < deadline:
        try:
            events = client.events()
        except (ConnectionError, OSError):
            break
        ended += sum(isinstance(e, (h2.events.StreamReset, h2.events.StreamEnded)) for e in events)
    assert ended == len(streams) or time.monotonic() < deadline, "it may stall for ever"
    client.close()


def stalls_sending(address):
    """Begins bodies and never ends them."""
    client = Client(address)
    streams = {client.open("/echo", ends=False, method="POST") for _ in range(20)}
    for stream in streams:
        client.h2.send_data(stream, b"half")
    client.flush()
    told, deadline = {}, time.monotonic() + TIMEOUT
    while len(told) < len(streams) and time.monotonic() < deadline:
        for event in client.events():
            if isinstance(event, h2.events.ResponseReceived):
                told[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.StreamReset):
                told.setdefault(event.stream_id, "reset")
    assert set(told) == streams, told
    assert set(told.values()) == {"408"}, told
    client.close()


def floods(address):
    """Says much that means nothing."""
    client = Client(address)
    try:
        for number in range(20000):
            client.h2.ping(number.to_bytes(8, "big"))
            if number % 100 == 0:
                client.flush()
        client.flush()
    except (ConnectionError, OSError):
        pass
    client.close()


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address = (host, int(port))
    stop, served, wrong, failed = threading.Event(), [], [], []

    def watched(work, *arguments):
        def run():
            try:
                work(address, *arguments)
            except Exception as error:  # noqa: BLE001: told at the end
                failed.append(f"{work.__name__}: {error!r}")

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    good = watched(serve_well, stop, served, wrong)
    for bad in [resets, stalls_reading, stalls_sending, floods]:
        before = len(served)
        watched(bad).join()
        print(bad.__name__, "done; served meanwhile:", len(served) - before)
    stop.set()
    good.join()
    assert not failed, failed
    assert not wrong, wrong
    assert served
    print("all well")


main()

"""Proxies that lie, to see that the load generator sees it. `run` begins with them: it will not measure blind."""

import contextlib
import socketserver
import threading
import types

import workloads

HEAD = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"
BODY = b"x" * 1024
# What an answer is, and how `load` has to count it.
LIES = {
    "the truth": (HEAD % (b"200 OK", 1024) + BODY, "answered"),
    "a short body, told as short": (HEAD % (b"200 OK", 1000) + BODY[:1000], "wrong"),
    "a body that ends early": (HEAD % (b"200 OK", 1024) + BODY[:1000], "errors"),
    "a body that goes on": (HEAD % (b"200 OK", 1024) + BODY + b"x", "errors"),
    "a refusal": (HEAD % (b"503 Service Unavailable", 1024) + BODY, "refused"),
    "no HTTP": (b"220 mail.example ESMTP\r\n" + BODY, "errors"),
    "nothing": (b"", "errors"),
}
SECONDS = 0.1


def unseen(cpu):
    """What `load` does not count as it has to; nothing, if all is well."""
    found = []
    for name, (answer, counted) in LIES.items():
        with liar(answer, ends=counted == "errors") as port:
            kind = {"name": "all", "path": "/1k", "expect": 1024, "connections": 2}
            site = types.SimpleNamespace(load_cpu=cpu, folder=workloads.install.HERE)
            told, _ = workloads.generate(site, {"port": port, "seconds": SECONDS, "kinds": [kind]})
        seen = told["kinds"]["all"] | {"refused": sum(told["kinds"]["all"]["refused"].values())}
        counts = {key: seen[key] for key in ("answered", "wrong", "refused", "errors")}
        if not counts[counted] or any(count for key, count in counts.items() if key != counted):
            found.append(f"{name}: {counts}")
    return found


@contextlib.contextmanager
def liar(answer, ends):
    """A server that gives this answer to whatever it is asked, and may end the connection after it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            while self.request.recv(65536):
                self.request.sendall(answer)
                if ends:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        handle_error = lambda *_: None  # Whoever goes away in the middle.

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()

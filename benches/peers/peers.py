"""What stands on the machine while it is measured: the proxies, the backends, their configurations.

Every proxy gets the same job (its configuration stands beside this file, that of `direct` and `pingora`
in `programs/`): HTTP/1.1 and HTTP/2 with kept-alive connections, plain and TLS, to two backends in the
first tier and two in the second, an active check each second where it has one, X-Forwarded-For, one
worker, no access log, 1 s to connect, 60 s idle.
"""

import http.client
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import time

from install import HERE, REPOSITORY, UNPACKED, environment, fetch, find  # noqa: F401 (others take them from here)

# The first is what the others are compared with.
CONFIGURATIONS = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "envoy": "envoy.yaml", "caddy": "Caddyfile",
                  "pingora": None, "direct": None, "leeward": "leeward.yaml"}
START_TIMEOUT = 20
SIZES = {"1k": 1 << 10, "64k": 1 << 16, "1m": 1 << 20}
# The client decides, so that every server does the same cryptography.
CLIENT_TLS = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
"""


class Program:
    """A process of ours, in a process group of its own, on some CPUs, with its log in a file."""

    def __init__(self, name, cpus, folder, command):
        self.name = name
        self.command = ["taskset", "-c", str(cpus), *map(str, command)]
        self.log = folder / f"{name}.log"
        self.process = None
        # Caddy keeps its things in the home folder, and takes a thread for each CPU.
        self.environ = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "GOMAXPROCS": "1"} \
            if name == "caddy" else {}

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(**self.environ),
                start_new_session=True)

    def stop(self):
        """Ends it. It has no request in flight: nothing is lost by not waiting for long."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def pids(self):
        """The process and its descendants."""
        found = [self.process.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                try:
                    found += map(int, (task / "children").read_text().split())
                except FileNotFoundError:
                    pass  # A thread that has just ended.
        return found

    def wait_until(self, holds, what):
        """Waits for a state with a deadline."""
        deadline = time.monotonic() + START_TIMEOUT
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name}: no {what}\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def wait_for_answers(self, port):
        """Waits until it serves what the workloads ask for."""
        paths = [("GET", "/health", 2), *(("GET", f"/{name}", size) for name, size in SIZES.items()), ("POST", "/1k", 1024)]
        for method, path, size in paths:
            self.wait_until(lambda: len(answer(port, method, path)) == size, f"answer to {method} {path}")


class Site:
    """What stands around the proxies: folder, certificate, backends."""

    def __init__(self, folder, proxy_cpu, load_cpu):
        self.folder, self.proxy_cpu, self.load_cpu = folder, proxy_cpu, load_cpu
        cert, key, pem = (folder / name for name in ("tls.crt", "tls.key", "tls.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", key, "-out", cert], check=True, capture_output=True)
        pem.write_text(cert.read_text() + key.read_text())
        (folder / "openssl.cnf").write_text(CLIENT_TLS)
        for name in ("64k", "1m"):
            (folder / name).write_bytes(b"x" * SIZES[name])
        self.backend_ports = free_ports(4)
        # A proxied connection takes two files; a few are needed for the rest.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.connections = min(10000, (files - 200) // 2)
        self.words = {"folder": folder, "cert": cert, "key": key, "pem": pem, "1k": "x" * 1024, "workers": 1,
                      "connections": self.connections, "files": 2 * self.connections,
                      "user": "user root;" if os.geteuid() == 0 else "", **dict(zip("abcd", self.backend_ports))}
        self.backend = Program("backend", load_cpu, folder, nginx(self.configure("backend", "backend.conf"), folder))
        # Whoever asks the site itself asks a backend.
        self.plain = self.backend_ports[0]

    def proxy(self, name, leeward, workers=1, cpus=None):
        """A proxy, configured and not yet started. `leeward` is the path of its binary."""
        plain, tls, admin = free_ports(3)
        words = {"plain": plain, "tls": tls, "admin": admin, "workers": workers}
        config = CONFIGURATIONS[name] and self.configure(name, CONFIGURATIONS[name], **words)
        files = [self.words["cert"], self.words["key"], *(f"127.0.0.1:{port}" for port in self.backend_ports)]
        command = {
            "haproxy": lambda: [find("haproxy"), "-db", "-f", config],
            "nginx": lambda: nginx(config, self.folder),
            "envoy": lambda: [find("envoy"), "-c", config, "--log-level", "error", "--concurrency", "1", "--disable-hot-restart"],
            "caddy": lambda: [find("caddy"), "run", "--config", config, "--adapter", "caddyfile"],
            "pingora": lambda: [find("pingora"), plain, tls, *files],
            "direct": lambda: [find("direct"), plain, tls, *files],
            "leeward": lambda: [leeward, "run", config, "--log-level", "warn"],
        }[name]()
        proxy = Program(name, self.proxy_cpu if cpus is None else cpus, self.folder, command)
        proxy.plain, proxy.tls, proxy.admin = plain, tls, admin
        return proxy

    def configure(self, name, template, **more):
        """Fills a template into the folder; its words stand between two @."""
        words = self.words | more | {"name": name}
        text = re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), (HERE / template).read_text())
        # There may be two of a name.
        path = self.folder / f"{name}-{words.get('plain', '')}-{template}"
        path.write_text(text)
        return path


def start(proxies):
    """Starts proxies and waits until each does its job."""
    for peer in proxies:
        peer.start()
    for peer in proxies:
        peer.wait_for_answers(peer.plain)
        # Envoy names the machine's own address in place of loopback.
        if not re.fullmatch(rb"[\d.]{7,15}", answer(peer.plain, "GET", "/forwarded")):
            raise SystemExit(f"{peer.name} does not send X-Forwarded-For: not the same job")
    time.sleep(2.5)  # The checks of every peer have passed twice.


def nginx(config, folder):
    return [find("nginx"), "-p", folder, "-c", config, "-e", "stderr"]


def free_ports(count):
    """Free ports below those that the kernel hands out, so that no connection takes one meanwhile."""
    found = []
    for port in random.sample(range(20000, 30000), 10000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("no free ports")


def answer(port, method, path):
    """The body of a 200 from a local port, else nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=b"x" * 4096 if method == "POST" else None, headers={"Host": "localhost"})
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else b""
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()

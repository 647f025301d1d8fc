"""The programs that `run` compares: where they come from, how they start and end.

Every proxy gets the same job (its configuration stands beside this file): HTTP/1.1 with kept-alive
connections, plain and TLS, to two backends in the first tier and two in the second, an active check
each second where it has one, X-Forwarded-For, one worker, no access log, 1 s to connect, 60 s idle.
"""

import http.client
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
# Programs that are not installed are unpacked here, beside the build: the system stays as it is.
UNPACKED = REPOSITORY / "target" / "peers"
CONFIGURATIONS = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "leeward": "leeward.yaml"}
START_TIMEOUT = 20
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


def find(program):
    """The path of a program of this system or of `UNPACKED`; None when it is in neither."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", UNPACKED / "usr/sbin", UNPACKED / "usr/bin"]
    return shutil.which(program, path=os.pathsep.join(map(str, folders)))


def fetch(packages):
    """Unpacks Debian packages, and what they need beyond this system, into `UNPACKED`."""
    if shutil.which("apt-get") is None:
        raise SystemExit(f"not a Debian machine: install {' '.join(packages)} by hand")
    archives = UNPACKED / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "install", "--yes", "--no-install-recommends", "--download-only",
                "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", *packages]
    done = subprocess.run(download, capture_output=True, text=True)
    if done.returncode != 0:
        # The lists may be missing or old; only root may renew them.
        subprocess.run(["apt-get", "update"], capture_output=True)
        done = subprocess.run(download, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{done.stderr}cannot fetch {' '.join(packages)}")
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, UNPACKED], check=True)


def environment(**more):
    """The environment of every program; unpacked ones find the libraries unpacked with them."""
    libraries = [str(path) for path in (UNPACKED / "usr/lib").glob("*-linux-gnu*")]
    known = [path for path in [os.environ.get("LD_LIBRARY_PATH")] if path]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(known + libraries), **more}


class Program:
    """A process of ours, in a process group of its own, on one CPU, with its log in a file."""

    def __init__(self, name, cpu, folder, command):
        self.name = name
        self.command = ["taskset", "-c", str(cpu), *map(str, command)]
        self.log = folder / f"{name}.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(),
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
                found += map(int, (task / "children").read_text().split())
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
        for method, path, size in [("GET", "/health", 2), ("GET", "/1k", 1024), ("GET", "/64k", 65536), ("POST", "/1k", 1024)]:
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
        (folder / "64k").write_bytes(b"x" * 65536)
        self.backend_ports = free_ports(4)
        self.words = {"folder": folder, "cert": cert, "key": key, "pem": pem, "1k": "x" * 1024,
                      "user": "user root;" if os.geteuid() == 0 else "", **dict(zip("abcd", self.backend_ports))}
        self.backend = Program("backend", load_cpu, folder, nginx(self.configure("backend", "backend.conf"), folder))

    def proxy(self, name, leeward):
        """A proxy, configured and not yet started. `leeward` is the path of its binary."""
        plain, tls = free_ports(2)
        config = self.configure(name, CONFIGURATIONS[name], plain=plain, tls=tls)
        if name == "haproxy":
            command = [find("haproxy"), "-db", "-f", config]
        elif name == "nginx":
            command = nginx(config, self.folder)
        else:
            command = [leeward, "run", config, "--log-level", "warn"]
        proxy = Program(name, self.proxy_cpu, self.folder, command)
        proxy.plain, proxy.tls = plain, tls
        return proxy

    def configure(self, name, template, **ports):
        """Fills a template into the folder; its words stand between two @."""
        words = self.words | ports | {"name": name}
        text = re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), (HERE / template).read_text())
        path = self.folder / f"{name}-{template}"
        path.write_text(text)
        return path


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
        connection.request(method, path, body=b"x" * 4096 if method == "POST" else None)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else b""
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()

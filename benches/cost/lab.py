"""What `counts` and `scale` stand on: a backend, a leeward with a policy of some size, exact load.

Every endpoint is an address in 127.0.0.0/8 of one nginx, so that a policy of any size has endpoints that
answer. Each pool has ten of them or as few as there are, in two tiers: every other one in the first.
Programs that are not installed are unpacked below target/ by the helpers of `benches/peers`.
"""

import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peers"))
import peers  # noqa: E402  (it stands beside this folder)

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", peers.REPOSITORY / "target"))
# Below valgrind everything takes some fifty times as long.
peers.START_TIMEOUT = 180

NGINX = """
@user@
daemon off;
worker_processes 1;
pid @folder@/backend.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path @folder@/body;
    proxy_temp_path @folder@/proxy;
    fastcgi_temp_path @folder@/fastcgi;
    uwsgi_temp_path @folder@/uwsgi;
    scgi_temp_path @folder@/scgi;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    # Holds a whole POST, so that the answer does not overtake the request's body.
    client_header_buffer_size 16k;
    server {
        listen 0.0.0.0:@port@ backlog=4096;
        location / { return 200 "@1k@"; }
        location ~ 64k$ { root @folder@; try_files /64k =500; open_file_cache max=16; }
        location = /health { return 200 "ok"; }
    }
}
"""


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a policy is."""

    routes: int
    pools: int
    endpoints: int

    def path(self, route, name):
        """The path that one of its routes is for."""
        return f"/r{route}/{name}"

    def __str__(self):
        return f"{self.routes:,} routes, {self.pools:,} pools, {self.endpoints:,} endpoints".replace(",", " ")


def prepare(programs, leeward):
    """Fetches the programs that are not here, by their Debian packages, and builds leeward unless there is one."""
    missing = sorted({package for program, package in programs.items() if peers.find(program) is None})
    if missing:
        say(f"fetching {', '.join(missing)} from Debian into {peers.UNPACKED}")
        peers.fetch(missing)
    if leeward is None:
        say("building leeward")
        subprocess.run(["cargo", "build", "--locked", "--release"], cwd=peers.REPOSITORY, check=True)
        leeward = TARGET / "release" / "leeward"
    return leeward.resolve()


class Lab:
    """A folder, a certificate, a backend that listens; `with` ends it."""

    def __init__(self, folder, leeward, proxy_cpu=0, load_cpu=1):
        self.folder, self.leeward = pathlib.Path(folder), leeward
        # A machine with one CPU has to do.
        most = max(os.sched_getaffinity(0))
        self.proxy_cpu, self.load_cpu = min(proxy_cpu, most), min(load_cpu, most)
        self.cert, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True)
        (self.folder / "body").write_bytes(b"x" * 4096)
        [self.port] = peers.free_ports(1)
        (self.folder / "64k").write_bytes(b"x" * 65536)
        words = {"user": "user root;" if os.geteuid() == 0 else "", "folder": self.folder, "port": self.port,
                 "1k": "x" * 1024}
        config = self.folder / "backend.conf"
        config.write_text(re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), NGINX))
        command = [peers.find("nginx"), "-p", self.folder, "-c", config, "-e", "stderr"]
        self.backend = peers.Program("backend", self.load_cpu, self.folder, command)

    def __enter__(self):
        self.backend.start()
        self.backend.wait_until(lambda: peers.answer(self.port, "GET", "/health") == b"ok", "answer")
        return self

    def __exit__(self, *_):
        self.backend.stop()

    def start(self, name, size, interval="10m", wrapper=()):
        """Starts a leeward with a policy of this size, below a wrapper, and waits until it is ready."""
        proxy = Leeward(self, name, size, interval, wrapper)
        proxy.start()
        return proxy

    def policy(self, size, interval, ports):
        """The text of a policy of this size."""
        plain, tls, admin = ports
        each = min(10, size.endpoints // size.pools)
        lines = [
            "version: 1", f'admin: {{ bind: "127.0.0.1:{admin}" }}', "workers: 1", "limits: { idle_timeout: 600s }",
            "listeners:", f'  plain: {{ bind: "127.0.0.1:{plain}" }}',
            f'  tls: {{ bind: "127.0.0.1:{tls}", tls: {{ certificates: [{{ cert: "{self.cert}", key: "{self.key}" }}] }} }}',
            "providers:", "  one: { sites: [here] }", "  two: { sites: [there] }", "pools:"]
        for pool in range(size.pools):
            lines += [f"  p{pool}:", "    backends:"]
            for number in range(pool * each, (pool + 1) * each):
                site = "two/there" if number % 2 else "one/here"
                lines.append(f'      - {{ url: "http://{address(number)}:{self.port}", site: {site} }}')
            # Whether a second attempt is made is a matter of time, and what is counted must not be.
            lines += [f"    probe: {{ path: /health, interval: {interval} }}", "    retry: { hedge: 0% }",
                      "    failover: { tiers: [[one], [two]], keep_warm: 0% }", "    idle_timeout: 600s"]
        lines += ["routes:", "  - { match: { methods: [POST] }, class: order, pool: p0 }"]
        for route in range(size.routes):
            match = f"path_prefix: {size.path(route, '')}"
            lines.append(f"  - {{ match: {{ {match} }}, class: public_read, pool: p{route % size.pools} }}")
        return "\n".join(lines) + "\n"


class Leeward(peers.Program):
    """leeward below a wrapper, pinned, with one worker."""

    def __init__(self, lab, name, size, interval, wrapper):
        ports = peers.free_ports(3)
        self.plain, self.tls, self.admin = ports
        self.policy = lab.folder / f"{name}.yaml"
        self.policy.write_text(lab.policy(size, interval, ports))
        command = [*wrapper, lab.leeward, "run", self.policy, "--log-level", "warn,leeward_proxy::reload=info", "--seed", "1"]
        super().__init__(name, lab.proxy_cpu, lab.folder, command)
        self.lab = lab

    def start(self):
        super().start()
        self.wait_until(self.is_ready, "word that it is ready")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=30) as answer:
                return answer.status == 200
        except OSError:
            return False

    def end(self):
        """Ends it and waits until its wrapper has written all that it has to."""
        if self.process is not None:
            # strace keeps signals to itself while its child lives: leeward is told, not what it runs below.
            os.kill(self.pids()[-1], signal.SIGTERM)
            self.process.wait(peers.START_TIMEOUT)
            self.process = None

    def threads(self):
        """Nanoseconds of CPU time so far, by thread."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.pids()[-1]}/task").iterdir():
            found[(task / "comm").read_text().strip()] = int((task / "schedstat").read_text().split()[0])
        return found

    def memory(self):
        """Resident memory, in MiB."""
        status = pathlib.Path(f"/proc/{self.pids()[-1]}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def metric(self, family, label=""):
        """The sum of a family's series with this label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        series = re.findall(rf"^{family}(?:{{(.*)}})? (\S+)$", text, re.M)
        return sum(float(value) for labels, value in series if label in labels)

    def wait_until_calm(self):
        """Waits until the control thread does no more in this second than in the one before."""
        spent, least = [self.threads()["leeward-control"]], None
        while least is None or least < spent[-1] * 0.8:
            time.sleep(1)
            spent.append(self.threads()["leeward-control"])
            now = spent[-1] - spent[-2]
            if least is not None and now > least * 0.8 or len(spent) > 30:
                return
            least = now

    def load(self, paths, requests, connections=8, method="GET", protocol="h1", tls=False):
        """Sends exactly so many requests for these paths in turn; all of them have to be answered."""
        if protocol == "fresh":
            return self.load_afresh(paths, requests)
        scheme, port = ("https", self.tls) if tls else ("http", self.plain)
        urls = self.lab.folder / "urls"
        urls.write_text("".join(f"{scheme}://127.0.0.1:{port}{path}\n" for path in paths))
        command = ["taskset", "-c", str(self.lab.load_cpu), peers.find("h2load"), "-n", str(requests),
                   "-c", str(connections), "-i", urls]
        command += ["--h1"] if protocol == "h1" else ["-m", "8"]
        command += ["-d", self.lab.folder / "body"] if method == "POST" else []
        done = subprocess.run(command, capture_output=True, text=True, env=peers.environment())
        answered = re.search(r"(\d+) succeeded", done.stdout)
        good = re.search(r"status codes: (\d+) 2xx", done.stdout)
        if not answered or not good or int(answered[1]) != requests or int(good[1]) != requests:
            raise SystemExit(f"h2load: not every request was answered\n{done.stdout}{done.stderr}\n{self.log.read_text()[-2000:]}")

    def load_afresh(self, paths, requests):
        """Sends exactly so many requests, each on a connection of its own, which is the last thing it is for."""
        for number in range(requests):
            path = paths[number % len(paths)]
            with socket.create_connection(("127.0.0.1", self.plain), timeout=30) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            if not answer.startswith(b"HTTP/1.1 200 ") or len(answer) < 1024:
                raise SystemExit(f"a request on a new connection was answered {answer[:200]!r}")


def address(number):
    """The address of an endpoint, by its number."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def say(text):
    print(text, file=sys.stderr, flush=True)

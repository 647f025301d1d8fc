"""The proxies under test: where the programs come from, how they are configured, started and ended.

Each configuration is a template with words between two @. The ones in `proxies/` are written for two
backends a provider; `fill` makes them fit pools of another size. Nothing else of them is changed: they
are what an expert would write for this very job, and a change needs a decision record.
"""

import asyncio
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import install
import lab as network
from install import CHARTS, PYTHON, TARGET, prepare_python, say, versions  # noqa: F401 (`run` takes them from here)

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATES = {"leeward": "leeward.yaml", "haproxy": "proxies/haproxy.cfg", "nginx": "proxies/nginx.conf",
             "envoy": "proxies/envoy.yaml", "caddy": "proxies/Caddyfile"}
START_TIMEOUT = 20
GET = ("import sys, urllib.request as u; "
       "sys.stdout.write(u.urlopen('http://127.0.0.1:9900' + sys.argv[1], timeout=5).read().decode())")


def prepare(names, leeward):
    """Fetches and builds what is missing; the path of leeward's binary."""
    for tool in ("ip", "mount", "unshare", "nsenter", "chrt"):
        if install.find(tool) is None:
            raise SystemExit(f"the lab needs {tool}: install iproute2 and util-linux")
    install.prepare([*names, "nft"])
    return install.leeward(leeward)


def fill(name, words, size):
    """The text of a proxy's configuration for pools of `size` backends."""
    text = (HERE / TEMPLATES[name]).read_text()
    if not words["CAPACITY"]:
        text = re.sub(r", capacity: [^ }]+", "", text)
    lines = [wide for line in text.splitlines() for wide in widen(line, size)]
    return re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), "\n".join(lines)) + "\n"


def widen(line, size):
    """A line that names a second backend, once for each backend from the second on.

    Where a line names the backends of all providers its words are repeated, else the whole line.
    """
    words = re.findall(r"\S*@(?:AWS|GCP|SELFHOSTED)2@\S*", line)
    numbered = lambda part, n: re.sub(r"(?<=aws|gcp|AWS|GCP)2\b|(?<=sh)2\b|(?<=SELFHOSTED)2\b", str(n), part)
    numbers = range(2, size + 1)
    if len(words) == 1:
        return [numbered(line, n) for n in numbers]
    for word in words:
        line = line.replace(word, " ".join(numbered(word, n) for n in numbers))
    return [line]


class Proxy:
    """One proxy in its namespace for one run."""

    def __init__(self, name, lab, folder, leeward):
        self.name, self.lab, self.folder, self.leeward = name, lab, folder, leeward
        self.address, self.process = lab.address(name), None
        self.log = folder / f"{name}.log"

    def start(self, words, size):
        config = self.folder / pathlib.Path(TEMPLATES[self.name]).name
        config.write_text(fill(self.name, words, size))
        with open(self.log, "wb") as log:
            self.process = self.lab.start(self.name, self.command(config), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=install.environment(), start_new_session=True)

    def command(self, config):
        if self.name == "leeward":
            return [self.leeward, "run", config]
        # Workers of nginx started by root want other groups, which a user namespace may refuse: there it runs as nobody.
        if self.name == "nginx" and pathlib.Path("/proc/self/setgroups").read_text().strip() == "deny":
            prefix = ["unshare", "--user"]
        else:
            prefix = []
        return [*prefix, install.find(self.name), *{
            "haproxy": ["-db", "-f", config],
            "nginx": ["-p", self.folder, "-c", config, "-e", "stderr", "-g", "daemon off;"],
            "envoy": ["-c", config, "--log-level", "warn", "--concurrency", "2", "--disable-hot-restart"],
            "caddy": ["run", "--config", config, "--adapter", "caddyfile"],
        }[self.name]]

    async def wait(self):
        """Waits until it listens; the load begins later, once probes have been answered."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((self.address, network.PROXY_PORT)) == 0:
                    return
            await asyncio.sleep(0.05)
        raise SystemExit(f"{self.name} does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self):
        """Ends it with all its workers, at once: no request is in flight any more."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def keep_journal(self):
        """What leeward says of its run; for people who look for causes, no figure comes from it."""
        for path in ("events", "status"):
            done = self.lab.start(self.name, [sys.executable, "-c", GET, f"/api/v1/{path}"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            text, _ = done.communicate()
            try:
                (self.folder / f"leeward-{path}.json").write_text(json.dumps(json.loads(text), indent=1) + "\n")
            except ValueError:
                say(f"leeward's {path}: no JSON")

"""The backends of one run, and what can be done to them.

One process a backend (backend.py), in the namespace of its provider, with commands on its stdin. They
are started anew for each run: no run inherits anything of another.
"""

import asyncio
import json
import pathlib
import signal
import subprocess
import sys
import time

import lab as network

SCRIPT = pathlib.Path(__file__).resolve().parent / "backend.py"
START_TIMEOUT = 20
# A Python that starts is busy for a tenth of a second: it must not hold up what is being measured. Once it
# serves, the backend goes back to the priority of all others.
GENTLY = ("chrt", "--other", "0")
# Addresses that a provider moves to begin here.
MOVED = 16


class World:
    """Backends by (provider, number), the names they have, and the load that they were built for."""

    def __init__(self, lab, names, folder, settings, seed):
        self.lab, self.names, self.folder, self.settings, self.seed = lab, names, folder, settings, seed
        self.processes, self.moved = {}, False
        self.names.lie, self.names.table = None, self.table()
        for provider in network.PROVIDERS:
            for number in range(1, settings.size + 1):
                self.spawn(provider, number)
        self.wait(len(self.processes))

    def table(self, moved=()):
        """`aws1.lab` is one backend, `aws.lab` all of its provider."""
        found = {}
        for provider in network.PROVIDERS:
            shift = MOVED if provider in moved else 0
            each = [self.lab.address(provider, shift + n) for n in range(1, self.settings.size + 1)]
            found[f"{provider}.lab"] = each
            found |= {f"{provider}{n}.lab": [address] for n, address in enumerate(each, 1)}
        return found

    def words(self):
        """What the configurations call things."""
        found = {"DNS": network.SWITCH, "PORT": network.BACKEND_PORT, "CAPACITY": self.settings.capacity or "",
                 # What each backend of the last provider carries: half of the load together.
                 "LAST": int(self.settings.left / self.settings.size)}
        for provider in network.PROVIDERS:
            found[provider.upper()] = f"{provider}.lab"
            found |= {f"{provider.upper()}{n}": f"{provider}{n}.lab" for n in range(1, self.settings.size + 1)}
        return found

    def spawn(self, provider, number):
        """Starts a backend; numbers above `MOVED` are those at the addresses to move to."""
        name = f"{provider}{number}"
        delay = 0 if provider == "aws" else self.settings.sheltered_delay
        command = [*GENTLY, sys.executable, SCRIPT, name, self.lab.address(provider, number), network.BACKEND_PORT,
                   self.folder / f"{name}.jsonl", self.seed + number, delay]
        with open(self.folder / "backends.log", "ab") as log:
            self.processes[provider, number] = self.lab.start(provider, command, stdin=subprocess.PIPE, stderr=log)

    def wait(self, count):
        """Waits until so many backends have said that they listen."""
        deadline = time.monotonic() + START_TIMEOUT
        while sum(path.stat().st_size > 0 for path in self.folder.glob("*[0-9].jsonl")) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"backends do not start: {(self.folder / 'backends.log').read_text()}")
            time.sleep(0.02)

    def of(self, provider):
        """Numbers of the provider's backends that run."""
        return [number for owner, number in self.processes if owner == provider]

    def command(self, provider, **fault):
        """Gives a fault to every backend of a provider that runs; no words end the one in force."""
        for number in self.of(provider):
            pipe = self.processes[provider, number].stdin
            pipe.write(json.dumps(fault).encode() + b"\n")
            pipe.flush()

    def command_all(self, **fault):
        for provider in network.PROVIDERS:
            self.command(provider, **fault)

    def kill(self, provider, numbers=None):
        for number in numbers or self.of(provider):
            process = self.processes.pop((provider, number))
            process.kill()
            process.wait()
            process.stdin.close()

    async def roll(self, provider, number):
        """Restarts one backend in good order."""
        process = self.processes.pop((provider, number))
        process.stdin.close()
        while process.poll() is None:
            await asyncio.sleep(0.02)
        self.spawn(provider, number)

    def restart(self, provider, numbers=None):
        for number in numbers or range(1, self.settings.size + 1):
            self.spawn(provider, number)

    def signal(self, provider, what, numbers=None):
        for number in numbers or self.of(provider):
            self.processes[provider, number].send_signal(what)

    def end(self):
        """Ends every backend; a stopped one too."""
        for provider in network.PROVIDERS:
            self.signal(provider, signal.SIGCONT)
            self.kill(provider)

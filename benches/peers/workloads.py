"""The workloads, and the load generators that run them: `programs/load`, and h2load for HTTP/2.

Both say what they saw in the same words. An answer that is not 200, or not as long as it has to be, is an
error like a connection that fails.
"""

import dataclasses
import json
import re
import resource
import subprocess

import install
import peers


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is asked, over what, by how many connections."""
    title: str
    size: str = "1k"
    body: int = 0
    tls: bool = False
    http2: bool = False
    fresh: bool = False
    rate: int = 0
    connections: int = 64


WORKLOADS = {
    "h1-1k": Workload("GET, 1 KiB"),
    "h1-64k": Workload("GET, 64 KiB", size="64k"),
    "h1-1m": Workload("GET, 1 MiB", size="1m", connections=16),
    "post-4k": Workload("POST of 4 KiB, 1 KiB back", body=4096),
    "tls-1k": Workload("GET over TLS 1.3, 1 KiB", tls=True),
    "h2-1k": Workload("GET over HTTP/2 and TLS, 1 KiB", tls=True, http2=True, connections=16),
    "conn": Workload("GET, new connection, 1 KiB", fresh=True),
    "conn-tls": Workload("GET, new TLS connection, 1 KiB", tls=True, fresh=True, connections=32),
    "rate": Workload("GET, 1 KiB, 2,500 a second", rate=2500),
}
STREAMS = 32


class Failed(Exception):
    """The load generator has not told what it saw."""


def load(site, peer, workload, seconds):
    """Runs a workload against a peer; what was seen, and the CPU seconds of the generator."""
    if workload.http2:
        return h2(site, peer, workload, seconds)
    port = peer.tls if workload.tls else peer.plain
    kind = {"name": "all", "method": "POST" if workload.body else "GET", "path": f"/{workload.size}", "body": workload.body,
            "expect": peers.SIZES[workload.size], "connections": workload.connections}
    plan = {"port": port, "tls": workload.tls, "seconds": seconds, "fresh": workload.fresh, "kinds": [kind]}
    if workload.rate:
        plan["rate"] = workload.rate
    told, used = generate(site, plan)
    return figures(told["kinds"]["all"], told["seconds"]) | {"late_p99_us": told["late_us"]["p99"]}, used


def figures(seen, seconds):
    """What `load` says of one kind, in the words of this bench."""
    errors = seen["wrong"] + seen["errors"] + seen["unsent"] + sum(seen["refused"].values())
    return {"requests": seen["answered"], "seconds": seconds, "per_second": seen["answered"] / seconds, "errors": errors,
            **{f"{name}_us": seen["latency_us"][name] for name in ("p50", "p99", "p999")}}


def generate(site, plan):
    """Runs `load` to its end; what it says, and its CPU seconds."""
    return spend(site, [install.find("load"), json.dumps(plan)], plan["seconds"] + 30, json.loads)


def hold(site, plan):
    """Starts `load` with connections that stay; the process and what it says of opening them."""
    command = ["taskset", "-c", str(site.load_cpu), install.find("load"), json.dumps(plan | {"hold": True})]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise Failed("load has failed")
    return process, json.loads(line)


def h2(site, peer, workload, seconds):
    # In a folder of its own: leeward looks at what changes beside its policy.
    log = site.folder / "h2load" / "log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    much = ["-n", "3000"] if seconds < 1 else ["-D", str(round(seconds))]
    command = [install.find("h2load"), "-t1", f"-c{workload.connections}", f"-m{STREAMS}", *much, f"--log-file={log}",
               f"--connect-to=127.0.0.1:{peer.tls}", f"https://localhost:{peer.tls}/{workload.size}"]
    read = lambda text: of_h2load(text, log.read_text(), peers.SIZES[workload.size], max(1, round(seconds)))
    return spend(site, command, seconds + 30, read)


def of_h2load(text, log, size, seconds):
    """What h2load says, in the words of this bench."""
    counts = re.search(r"(\d+) done, (\d+) succeeded", text)
    good = re.search(r"status codes: (\d+) 2xx", text)
    data = re.search(r"\((\d+)\) data", text)
    if not (counts and good and data) or "Application protocol: h2" not in text:
        raise Failed(f"h2load has failed\n{text}")
    done, answered = int(counts[1]), min(int(counts[2]), int(good[1]))
    # Answers that were under way at the end have brought some bytes too.
    right = answered * size <= int(data[1]) <= (answered + 16 * STREAMS) * size
    times = sorted(int(line.split("\t")[2]) for line in log.splitlines() if line.count("\t") >= 2)
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] if times else 0
    return {"requests": answered, "seconds": seconds, "per_second": answered / seconds,
            "errors": done - answered if right else done, "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)}


def spend(site, command, timeout, read):
    """Runs a generator on its CPU; what `read` makes of its words, and the CPU seconds that it used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = install.environment(OPENSSL_CONF=str(site.folder / "openssl.cnf"))
    done = subprocess.run(["taskset", "-c", str(site.load_cpu), *command], capture_output=True, text=True, timeout=timeout, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failed(f"{done.stdout}{done.stderr}")
    return read(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

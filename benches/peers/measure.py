"""What a program costs: CPU time, memory, and how busy the machine was meanwhile."""

import os
import pathlib
import time

import workloads

TICKS = os.sysconf("SC_CLK_TCK")
# A sample is not begun while something else uses more than this share of a core (`--patience`), and
# repeated when it did meanwhile, a few times.
NOISY = 0.5
ATTEMPTS = 3
LOOK = 0.25
WARM = 0.3


def best_sample(site, peer, workload, seconds, patience):
    """The first quiet sample, else the quietest of a few. What it says of the proxy plays no part."""
    samples = []
    while len(samples) < ATTEMPTS:
        patience.wait_for_quiet()
        workloads.load(site, peer, workload, WARM)  # Connections to the backends stand, memory is warm.
        samples.append(sample(site, peer, workload, seconds))
        if samples[-1]["other_cores"] <= NOISY or not patience.left:
            break
    return min(samples, key=lambda run: run["other_cores"])


class Patience:
    """The time that a whole run may spend on waiting for a quiet machine."""

    def __init__(self, seconds):
        self.left = seconds

    def wait_for_quiet(self):
        while self.left > 0:
            before = busy()
            time.sleep(LOOK)
            if busy() - before <= NOISY * LOOK:
                return
            self.left = max(0, self.left - LOOK)


def sample(site, peer, workload, seconds):
    """One run of the load and what it cost the proxy."""
    straight = workloads.load(site, site, workload, seconds)[0]["p50_us"] if workload.rate else None
    for pid in peer.pids():
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # The peak of memory starts anew.
    run, used, other = cost(peer, site.backend, lambda: workloads.load(site, peer, workload, seconds))
    if not run["requests"]:
        raise workloads.Failed(f"{peer.name}: no request was answered")
    if straight is not None:
        run["added_p50_us"] = run["p50_us"] - straight
    share = 1e6 / run["requests"]
    return run | {
        "cpu_us": used["cpu"] * share, "user_us": used["user"] * share, "system_us": used["system"] * share,
        "proxy_cores": used["cpu"] / run["seconds"], "load_cores": used["load"] / run["seconds"],
        "other_cores": max(0.0, other / run["seconds"]),
        "peak_mib": sum(memory(pid, "status", "VmHWM:") for pid in peer.pids()) / 1024,
    }


def cost(peer, backend, act):
    """Does something; what it returns, CPU seconds of the proxy and of the load, and those of everything else."""
    before, at = busy(), [clock(program) for program in (peer, backend)]
    split = ticks(peer)
    result, load = act()
    proxy, backends = (clock(program) - then for program, then in zip((peer, backend), at))
    user, system = (now - then for now, then in zip(ticks(peer), split))
    whole = max(user + system, 1 / TICKS)
    used = {"cpu": proxy, "user": proxy * user / whole, "system": proxy * system / whole, "load": load + backends}
    return result, used, busy() - before - proxy - backends - load


def clock(program):
    """CPU seconds of a program's processes, by the kernel's clock of each."""
    # CLOCK_PROCESS_CPUTIME_ID of another process: its number, inverted, and the kind of clock below it.
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in program.pids()) / 1e9


def ticks(program):
    """User and system seconds of a program's processes, all their threads; in steps of a tick."""
    fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in program.pids()]
    return [sum(int(field[place]) for field in fields) / TICKS for place in (11, 12)]


def busy():
    """Seconds that all CPUs together were busy since the machine started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def pss(program):
    """KiB of a program's processes, shared pages divided among those that share them."""
    return sum(memory(pid, "smaps_rollup", "Pss:") for pid in program.pids())


def memory(pid, file, name):
    """A line of a file of /proc that tells KiB."""
    lines = pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)

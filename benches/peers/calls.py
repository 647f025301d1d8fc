"""System calls per request, by strace. Only the counts mean something: tracing is slow."""

import pathlib
import signal

import install
import peers
import workloads

# Long enough that the calls which open the connections are few among the others.
SECONDS = 4


def table(site, proxies, names):
    """A Markdown table of what each peer calls."""
    lines = ["| workload | peer | system calls/request | which (of these, ended in an error) |", "|---|---|---:|---|"]
    for name in names:
        for peer in proxies:
            workloads.load(site, peer, workloads.WORKLOADS[name], 1)
            calls, requests = traced(site, peer, workloads.WORKLOADS[name])
            each = [(calls[name][0] / requests, calls[name][1] / requests, name) for name in calls]
            parts = [f"{call} {count:.2f}" + (f" ({failed:.2f})" if failed >= 0.005 else "")
                     for count, failed, call in sorted(each, reverse=True) if count >= 0.01]
            lines.append(f"| {name} | {peer.name} | {sum(count for count, _, _ in each):.2f} | {', '.join(parts)} |")
    return "\n".join(lines)


def traced(site, peer, workload):
    """Calls and failed calls by name under load, and the requests of that time."""
    counts, pids = site.folder / "strace.txt", peer.pids()
    command = [install.find("strace"), "-f", "-c", "-U", "name,calls,errors", "-o", counts]
    tracer = peers.Program("strace", site.load_cpu, site.folder, command + [word for pid in pids for word in ("-p", pid)])
    tracer.start()
    try:
        status = [task / "status" for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
        tracer.wait_until(lambda: all("TracerPid:\t0\n" not in path.read_text() for path in status), "tracing")
        run, _ = workloads.load(site, peer, workload, SECONDS)
        tracer.process.send_signal(signal.SIGINT)
        tracer.process.wait(10)
    finally:
        tracer.stop()
    lines = [line.split() for line in counts.read_text().splitlines()]
    calls = {line[0]: (int(line[1]), int(line[2]) if len(line) > 2 else 0)
             for line in lines if len(line) > 1 and line[1].isdigit() and line[0] != "total"}
    return calls, max(1, run["requests"])

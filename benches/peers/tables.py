"""From samples to what people read: medians with their spread, and tables in Markdown."""

import os
import pathlib
import platform
import statistics

import workloads
from measure import NOISY

KEYS = ("_us", "_second", "_cores", "_mib", "errors")


def summary(runs, names, reference):
    """A row for each workload and peer: median, lowest and highest of each figure."""
    have = {(run["workload"], run["peer"]) for run in runs}
    return [row(runs, workload, peer, reference) for workload in dict.fromkeys(run["workload"] for run in runs)
            for peer in names if (workload, peer) in have]


def row(runs, workload, peer, reference):
    of = lambda name: {run["round"]: run for run in runs if (run["workload"], run["peer"]) == (workload, name)}
    mine, theirs = of(peer), of(reference)
    figures = {key: [run[key] for run in mine.values()] for key in next(iter(mine.values())) if key.endswith(KEYS)}
    figures["ratio"] = [run["cpu_us"] / theirs[turn]["cpu_us"] for turn, run in mine.items() if turn in theirs]
    return {"workload": workload, "peer": peer} | {
        key: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for key, values in figures.items() if values
    }


def markdown(facts):
    """The whole report."""
    parts = [head(facts)]
    if facts["summary"]:
        parts += [overview(facts), ratios(facts), details(facts)]
    parts += [table(facts) for name, table in [("idle", idle), ("growth", growth), ("overload", overload), ("workers", workers)] if facts[name]]
    return "\n\n".join(parts) + "\n"


def head(facts):
    noisy = sum(run["other_cores"] > NOISY for run in facts["samples"])
    lines = [f"`{facts['command']}` on a machine with {facts['machine']}; {facts['minutes']:.1f} minutes.", ""]
    lines += [f"- {name}: {text}" for name, text in facts["versions"].items()]
    if facts["samples"]:
        lines += ["", f"Medians of {facts['rounds']} interleaved rounds, samples of {facts['seconds']} s, lowest and highest in "
                  f"brackets. In {noisy} of {len(facts['samples'])} samples something else used more than {NOISY} of a core."]
    bad = [f"{row['peer']} in {row['workload']} ({row['errors']['highest']:.0f})" for row in facts["summary"] if row["errors"]["highest"]]
    if bad:
        lines += ["", f"Errors, at most in a sample: {', '.join(bad)}."]
    if facts["failed"]:
        lines += ["", f"Failed: {', '.join(facts['failed'])}."]
    return "\n".join(lines)


def overview(facts):
    return grid(facts, "CPU time per request, µs", lambda row: f"{row['cpu_us']['median']:.1f}")


def ratios(facts):
    title = f"CPU time per request, ratio to {facts['reference']} of the same round"
    return grid(facts, title, lambda row: spread(row["ratio"], 2) if "ratio" in row else "-")


def grid(facts, title, cell):
    """Peers down, workloads across."""
    names = list(dict.fromkeys(row["workload"] for row in facts["summary"]))
    rows = {(row["peer"], row["workload"]): row for row in facts["summary"]}
    lines = [f"{title}:", "", "| peer | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for peer in facts["peers"]:
        lines.append(f"| {peer} | " + " | ".join(cell(rows[peer, name]) if (peer, name) in rows else "-" for name in names) + " |")
    return "\n".join(lines)


def details(facts):
    lines = ["Throughput, latency, memory:", "",
             "| workload | peer | CPU µs/request | user + system | requests/s | proxy core busy | p50, p99, p99.9 µs | peak MiB | errors |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in facts["summary"]:
        middle = {key: value["median"] for key, value in row.items() if isinstance(value, dict)}
        latency = ", ".join(f"{middle[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us"))
        if "added_p50_us" in middle:
            latency += f" (p50 + {spread(row['added_p50_us'], 0)})"
        lines.append(f"| {row['workload']} | {row['peer']} | {spread(row['cpu_us'], 1)} | {middle['user_us']:.1f} + {middle['system_us']:.1f} "
                     f"| {middle['per_second']:,.0f} | {middle['proxy_cores']:.0%} | {latency} | {middle['peak_mib']:.0f} "
                     f"| {row['errors']['highest']:.0f} |")
    return "\n".join(lines)


def idle(facts):
    count = min(row["connections"] for row in facts["idle"])
    lines = [f"Memory of an idle client connection, {count:,} open (PSS):", "",
             "| peer | KiB plain | KiB over TLS | MiB without them | MiB with them |", "|---|---:|---:|---:|---:|"]
    for peer in dict.fromkeys(row["peer"] for row in facts["idle"]):
        rows = {row["tls"]: row for row in facts["idle"] if row["peer"] == peer}
        told = lambda key, digits: [f"{rows[tls][key]:.{digits}f}" if tls in rows else "-" for tls in (False, True)]
        (plain, tls), empty, full = told("connection_kib", 1), told("empty_mib", 0), told("full_mib", 0)
        lines.append(f"| {peer} | {plain} | {tls} | {', '.join(empty)} | {', '.join(full)} |")
    return "\n".join(lines)


def growth(facts):
    lines = ["Memory after many requests (PSS, no connection open):", "", "| peer | requests | MiB before | MiB after |", "|---|---:|---:|---:|"]
    lines += [f"| {row['peer']} | {row['requests']:,} | {row['before_mib']:.1f} | {row['after_mib']:.1f} |" for row in facts["growth"]]
    return "\n".join(lines)


def overload(facts):
    lines = ["Overload, an open loop at 1.5 × the peak of a closed one:", "",
             "| peer | peak/s | of as many connections | offered/s | goodput/s | of the peak | of that of as many | MiB before, at most |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [f"| {row['peer']} | {row['peak']:,.0f} | {row['crowded']:,.0f} | {row['offered']:,.0f} | {row['goodput']:,.0f} "
              f"| {row['ratio']:.0%} | {row['crowded_ratio']:.0%} | {row['before_mib']:.0f}, {row['peak_mib']:.0f} |" for row in facts["overload"]]
    lines += ["", "| peer | class | answered | shed | not sent, clients left | failed | p50, p99, max ms | at half the peak: p50, p99, max ms |",
              "|---|---|---:|---:|---:|---:|---:|---:|"]
    for row in facts["overload"]:
        for name, seen in row["classes"].items():
            lines.append(f"| {row['peer']} | {name} | {seen['answered']:.0%} | {seen['shed']:.0%} | {seen['unsent']:.0%} | {seen['lost']:.1%} "
                         f"| {milliseconds(seen)} | {milliseconds(row['calm'][name])} |")
    return "\n".join(lines)


def milliseconds(seen):
    return ", ".join(f"{seen['latency_us'][key] / 1000:.1f}" for key in ("p50", "p99", "max"))


def workers(facts):
    lines = ["Two workers of leeward beside one:", "", "| workload | one, µs | two, µs | ratio |", "|---|---:|---:|---:|"]
    for name in dict.fromkeys(row["workload"] for row in facts["workers"]):
        rows = [row for row in facts["workers"] if row["workload"] == name]
        middle = lambda key: statistics.median(row[key] for row in rows)
        ratio = [row["ratio"] for row in rows]
        lines.append(f"| {name} | {middle('one_us'):.1f} | {middle('two_us'):.1f} "
                     f"| {middle('ratio'):.2f} ({min(ratio):.2f} to {max(ratio):.2f}) |")
    return "\n".join(lines)


def spread(figure, digits):
    return "{median:.{d}f} ({lowest:.{d}f} to {highest:.{d}f})".format(d=digits, **figure)


def titles():
    return {name: workload.title for name, workload in workloads.WORKLOADS.items()}


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}"

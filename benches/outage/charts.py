#!/usr/bin/env python3
"""Draws one SVG a scenario: what failed and how long reads took, second by second, proxy by proxy.

Run by `run` with the Python that has matplotlib; reads the records of the first round alone.

    charts.py FOLDER
"""

import json
import math
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

STEP = 0.5
READS, ORDERS, FAULT = "#d1495b", "#30343f", "#f2e8cf"


def main():
    folder = pathlib.Path(sys.argv[1])
    # Text stays text, and the same records give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "outage", "font.size": 8})
    runs = {}
    for path in sorted(folder.glob("1-*/run.json")):
        facts = json.loads(path.read_text())
        runs.setdefault(facts["scenario"], []).append((facts, path.parent))
    for scenario, each in runs.items():
        each.sort(key=lambda run: (run[0]["proxy"] != "leeward", run[0]["proxy"]))
        draw(scenario, each, folder / f"{scenario}.svg")


def draw(scenario, runs, path):
    figure, axes = pyplot.subplots(2, len(runs), figsize=(1 + 2.6 * len(runs), 3.8), sharex=True, sharey="row", squeeze=False)
    for column, (facts, folder) in enumerate(runs):
        requests = [line for line in map(json.loads, (folder / "clients.jsonl").read_text().splitlines()) if "start" in line]
        one(axes[0][column], axes[1][column], facts, requests)
        axes[0][column].set_title(facts["proxy"])
        axes[1][column].set_xlabel("seconds")
    axes[0][0].set_ylabel("failed a second")
    axes[1][0].set_ylabel("reads: median, slowest\nin ms")
    axes[0][0].legend(frameon=False, loc="upper right")
    figure.suptitle(f"{scenario} (shaded: the fault)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def one(above, below, facts, requests):
    """One proxy: failures above, latency below, by when requests were due."""
    span = (facts["end"] - facts["begin"]) / 1e9
    buckets = [{"r": [], "o": [], "ms": []} for _ in range(math.ceil(span / STEP))]
    for request in requests:
        bucket = buckets[min(len(buckets) - 1, max(0, int((request["start"] - facts["begin"]) / 1e9 / STEP)))]
        if request["status"] != 200 or request["error"]:
            bucket[request["id"][0]].append(request)
        elif request["id"][0] == "r":
            bucket["ms"].append((request["end"] - request["start"]) / 1e6)
    times = [number * STEP for number in range(len(buckets))]
    reads, orders = ([len(bucket[kind]) / STEP for bucket in buckets] for kind in "ro")
    above.bar(times, reads, STEP, align="edge", color=READS, label="reads")
    above.bar(times, orders, STEP, reads, align="edge", color=ORDERS, label="orders")
    below.plot(times, [sorted(b["ms"])[len(b["ms"]) // 2] if b["ms"] else math.nan for b in buckets], color=ORDERS, linewidth=1)
    below.plot(times, [max(b["ms"], default=math.nan) for b in buckets], color=READS, linewidth=1)
    below.set_yscale("log")
    for axis in (above, below):
        axis.axvspan(*((facts[key] - facts["begin"]) / 1e9 for key in ("fault", "repaired")), color=FAULT, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()

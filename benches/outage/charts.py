#!/usr/bin/env python3
"""Draws one SVG a scenario (what failed and how long reads took, second by second, proxy by proxy; the
first round alone) and overview.svg (what failed in each scenario with each proxy; medians).

Run by `run` with the Python that has matplotlib, once scoreboard.json is written.

    charts.py FOLDER
"""

import json
import math
import pathlib
import sys
from statistics import median

# The other bench has the style.
sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[1] / "peers")]

import style
from matplotlib.colors import LinearSegmentedColormap
from style import pyplot

SHADES = LinearSegmentedColormap.from_list("failures", [style.GREEN, style.SAND, style.RED, "#7a1f2b"])
STEP = 0.5
READS, ORDERS, FAULT = style.RED, style.DARK, style.SAND


def main():
    folder = pathlib.Path(sys.argv[1])
    style.begin("outage")
    runs = {}
    for path in sorted(folder.glob("1-*/run.json")):
        facts = json.loads(path.read_text())
        runs.setdefault(facts["scenario"], []).append((facts, path.parent))
    for scenario, each in runs.items():
        each.sort(key=lambda run: (run[0]["proxy"] != "leeward", run[0]["proxy"]))
        draw(scenario, each, folder / f"{scenario}.svg")
    overview(json.loads((folder / "scoreboard.json").read_text())["runs"], folder / "overview.svg")


def overview(results, path):
    """A table in colours: the more requests failed, the darker."""
    names = sorted({result["proxy"] for result in results}, key=lambda name: (name != "leeward", name))
    rows = list(dict.fromkeys(result["scenario"] for result in results))
    figure, axis = pyplot.subplots(figsize=(2 + 1.1 * len(names), 0.6 + 0.26 * len(rows)))
    for y, scenario in enumerate(rows):
        for x, name in enumerate(names):
            runs = [r["figures"] for r in results if (r["scenario"], r["proxy"]) == (scenario, name)]
            if runs:
                reads, orders = (median(f[f"failed_{kind}"] + f[f"failed_{kind}_after"] for f in runs) for kind in ("reads", "orders"))
                # An order weighs as much as ten reads.
                shade = min(1, math.log10(1 + reads / 10 + orders) / 3)
                axis.add_patch(pyplot.Rectangle((x, y), 0.96, 0.92, color=SHADES(shade)))
                axis.text(x + 0.48, y + 0.5, f"{reads:g} / {orders:g}", ha="center", va="center", color="white" if shade > 0.6 else "black")
    axis.set(xlim=(0, len(names)), ylim=(len(rows), 0), yticks=[y + 0.5 for y in range(len(rows))], yticklabels=rows,
             xticks=[x + 0.48 for x in range(len(names))], xticklabels=names)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.suptitle("failed reads / failed orders", fontsize=8)
    style.save(figure, path)


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
    style.save(figure, path)


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

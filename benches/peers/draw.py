#!/usr/bin/env python3
"""Draws performance.svg (CPU time per request of each peer, one panel a workload) and memory.svg (an idle
client connection) from results.json.

Run by `run` with the Python that has matplotlib.

    draw.py FOLDER
"""

import json
import math
import pathlib
import sys

import style
from style import pyplot

COLUMNS = 3


def main():
    folder = pathlib.Path(sys.argv[1])
    style.begin("peers")
    results = json.loads((folder / "results.json").read_text())
    if results["summary"]:
        performance(results, folder / "performance.svg")
    if results["idle"]:
        memory(results["idle"], folder / "memory.svg")


def performance(results, path):
    """Bars: the median; lines: from the lowest round to the highest."""
    names = list(dict.fromkeys(row["workload"] for row in results["summary"]))
    count = len({row["peer"] for row in results["summary"]})
    rows = math.ceil(len(names) / COLUMNS)
    columns = min(COLUMNS, len(names))
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.1 * columns, (0.5 + 0.2 * count) * rows + 0.4), squeeze=False)
    for axis in axes.flat[len(names):]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names):
        found = sorted((row for row in results["summary"] if row["workload"] == name), key=lambda row: row["cpu_us"]["median"])
        figures = [row["cpu_us"] for row in found]
        bars(axis, [row["peer"] for row in found], figures)
        axis.set_title(f"{name}: {results['titles'][name]}", loc="left", fontsize=8)
    figure.suptitle("CPU time per request, µs (less is better)", fontsize=9)
    style.save(figure, path)


def memory(rows, path):
    kinds = [(False, "plain"), (True, "over TLS")]
    figure, axes = pyplot.subplots(1, 2, figsize=(6.2, 0.7 + 0.1 * len(rows)), squeeze=False)
    for axis, (tls, title) in zip(axes.flat, kinds):
        found = sorted((row for row in rows if row["tls"] == tls), key=lambda row: row["connection_kib"])
        bars(axis, [row["peer"] for row in found], [dict.fromkeys(("median", "lowest", "highest"), row["connection_kib"]) for row in found])
        axis.set_title(title, loc="left", fontsize=8)
    figure.suptitle("memory of an idle client connection, KiB", fontsize=9)
    style.save(figure, path)


def bars(axis, names, figures):
    middle = [figure["median"] for figure in figures]
    spread = [[figure["median"] - figure["lowest"] for figure in figures], [figure["highest"] - figure["median"] for figure in figures]]
    colours = [style.RED if name == "leeward" else style.GREY for name in names]
    axis.barh(names, middle, color=colours, xerr=spread, error_kw={"ecolor": style.DARK, "elinewidth": 0.8})
    for place, figure in enumerate(figures):
        axis.text(figure["highest"], place, f"  {shown(figure['median'])}", va="center")
    axis.set_xlim(0, max(figure["highest"] for figure in figures) * 1.25)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.xaxis.set_visible(False)
    axis.spines[:].set_visible(False)


def shown(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    main()

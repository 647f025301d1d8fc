"""From the folder of a bench to what people read: a scoreboard in Markdown, all figures in JSON."""

import json
import os
import pathlib
import platform
import statistics

import figures
import judge
import scenarios

# Columns of the table of a scenario: heading, figures (several stand side by side).
COLUMNS = [
    ("failed reads, after", ("failed_reads", "failed_reads_after")),
    ("failed orders, after", ("failed_orders", "failed_orders_after")),
    ("executed twice", ("duplicates",)),
    ("untrue, unsaid", ("untrue_labels", "unlabelled")),
    ("lost answers", ("lost_answers",)),
    ("executed late", ("executed_late",)),
    ("first clean s", ("first_clean_s",)),
    ("last failure s", ("last_failure_s",)),
    ("read p50, p99, p99.9, max ms", ("read_p50_ms", "read_p99_ms", "read_p999_ms", "read_max_ms")),
    ("order p99, max ms", ("order_p99_ms", "order_max_ms")),
    ("% to the failing side, % moved, s away", ("share_to_bad_percent", "moved_percent", "away_s")),
    ("back: begins, half, whole s", ("return_begins_s", "return_half_s", "return_whole_s")),
    ("streams dropped, refused, silent", ("streams_dropped", "streams_refused", "streams_gapped")),
    ("streams ended s", ("streams_ended_s",)),
    ("longest gap s", ("streams_gap_s",)),
    ("ticks missed", ("streams_missed",)),
    ("clients late p99 ms", ("client_lag_p99_ms",)),
]
# Runs whose clients were later than this say little about milliseconds.
NOISY_MS = 25


def collect(folder):
    """Every run of a bench with its figures, worked out anew from the records."""
    found = []
    for path in sorted(folder.glob("*/run.json")):
        facts = json.loads(path.read_text())
        run = figures.load(path.parent, facts)
        keys = ("scenario", "proxy", "round", "settings")
        found.append({key: facts[key] for key in keys} | {"folder": path.parent.name, "figures": figures.figures(run)})
    order = list(scenarios.BY_NAME)
    return sorted(found, key=lambda result: (order.index(result["scenario"]), result["proxy"], result["round"]))


def write(folder, facts, results, broken):
    """Writes scoreboard.md and scoreboard.json; returns the Markdown."""
    text = markdown(facts, results, broken)
    (folder / "scoreboard.md").write_text(text)
    whole = {**facts, "broken": broken, "runs": results}
    (folder / "scoreboard.json").write_text(json.dumps(whole, indent=1) + "\n")
    return text


def markdown(facts, results, broken):
    names = sorted({result["proxy"] for result in results}, key=lambda name: (name != judge.JUDGED, name))
    present = [scenario for scenario in scenarios.SCENARIOS if any(r["scenario"] == scenario.name for r in results)]
    rounds = max((result["round"] for result in results), default=0)
    lines = [f"Command: `{facts['command']}`. Seed {facts['seed']}, {rounds} rounds. {machine()}.", ""]
    lines += [f"- {name}: {text}" for name, text in facts["versions"].items()]
    lines += ["", "## Scoreboard", "",
              "Medians. Failed reads / failed orders (in the fault + after it) · read p99 in the fault, ms · seconds to the first clean",
              "second / to the last failure · WebSocket ticks missed. Orders executed twice are told where there are any.",
              "", "| scenario | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for scenario in present:
        cells = [cell(of(results, scenario.name, name)) for name in names]
        lines.append(f"| {scenario.name}: {scenario.title} | " + " | ".join(cells) + " |")
    late = sum(result["figures"]["client_lag_p99_ms"] > NOISY_MS for result in results)
    lines += ["", f"Busy machine: in {late} of {len(results)} runs the clients themselves were more than {NOISY_MS} ms late with one "
              "request in a hundred.", "", "## What leeward promises", "", *verdict(names, broken)]
    for scenario in present:
        lines += ["", f"## {scenario.name}: {scenario.title}", "", bounds_of(scenario), "",
                  "| proxy | " + " | ".join(heading for heading, _ in COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
        for name in names:
            runs = of(results, scenario.name, name)
            if runs:
                lines.append(f"| {name} | " + " | ".join(middle_and_worst(runs, keys) for _, keys in COLUMNS) + " |")
        for name in names:
            lines += notes(name, of(results, scenario.name, name))
    lines += ["", "## leeward's policy", "", "```yaml", facts["policy"].rstrip(), "```"]
    return "\n".join(lines) + "\n"


def verdict(names, broken):
    if judge.JUDGED not in names:
        return [f"{judge.JUDGED} was not run."]
    return [f"- broken: {line}" for line in broken] or ["Every promise held."]


def of(results, scenario, name):
    return [result for result in results if (result["scenario"], result["proxy"]) == (scenario, name)]


def cell(runs):
    if not runs:
        return ""
    value = lambda key: middle(runs, key)
    total = lambda kind: shown((value(f"failed_{kind}") or 0) + (value(f"failed_{kind}_after") or 0))
    twice = sum(run["figures"]["duplicates"] for run in runs)
    return (f"**{total('reads')} / {total('orders')}** · {shown(value('read_p99_ms'))} · {shown(value('first_clean_s'))} / "
            f"{shown(value('last_failure_s'))} · {shown(value('streams_missed'))}" + (f" · **{twice} twice**" if twice else ""))


def middle_and_worst(runs, keys):
    """Medians, and in brackets the highest where the rounds differ."""
    medians = ", ".join(shown(middle(runs, key)) for key in keys)
    worst = ", ".join(shown(max(values(runs, key), default=None)) for key in keys)
    return medians if worst == medians else f"{medians} ({worst})"


def notes(name, runs):
    """How requests and streams ended, and the way back, of the first round."""
    if not runs:
        return []
    found = runs[0]["figures"]
    told = [f"failed: {listed(found['failed_how'])}"] if found["failed_how"] else []
    told += [f"streams ended: {listed(found['streams_how'])}"] if found["streams_how"] else []
    told += [f"share of the primary, % by second after the repair: {' '.join(f'{value:.0f}' for value in found['return_shape_percent'])}"]
    return ["", f"{name}, round 1: " + "; ".join(told) + "."]


def listed(counts):
    return ", ".join(f"{count} × {how}" for how, count in counts.items())


def bounds_of(scenario):
    words = [f"{bound.figure} {'≥' if bound.least else '≤'} {bound.limit:g}" for bound in (*scenario.bounds, *judge.ALWAYS)]
    return "Bounds: " + ", ".join(words) + "."


def values(runs, key):
    return [run["figures"][key] for run in runs if run["figures"][key] is not None]


def middle(runs, key):
    found = values(runs, key)
    return statistics.median(found) if found else None


def shown(value):
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}"

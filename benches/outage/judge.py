"""Holds leeward's figures against what it promises.

Duplicates and untrue labels are hard zeros: one in any run breaks the promise. Of every other bound the
median over the rounds must hold; the worst is told beside it.
"""

import statistics

import scenarios

JUDGED = "leeward"
HARD = ("duplicates", "untrue_labels")
# What holds in every scenario, beside the scenario's own bounds.
ALWAYS = (scenarios.Bound("unlabelled", 0), scenarios.Bound("failed_before", 0))
# The short form runs on machines whose timing means nothing: there only counts are promises.
SHORT = (scenarios.Bound("failed_reads", 0), scenarios.Bound("failed_reads_after", 0))


def broken(results, short=False):
    """One line for each promise that leeward broke; `results` as report.collect gives them."""
    mine = [result for result in results if result["proxy"] == JUDGED]
    found = [line for result in mine for line in hard(result)]
    for scenario in scenarios.SCENARIOS:
        runs = [result for result in mine if result["scenario"] == scenario.name]
        bounds = SHORT if short else (*scenario.bounds, *ALWAYS)
        found += [line for bound in bounds if runs and (line := soft(scenario.name, bound, runs))]
    return found


def hard(result):
    for figure in HARD:
        if result["figures"][figure]:
            yield f"{result['scenario']}, round {result['round']}: {figure} {result['figures'][figure]}, promised 0 always"


def soft(name, bound, runs):
    """What is wrong with the median of a figure, or None."""
    values = [scaled(bound, run) for run in runs]
    learning = bound.learning is not None and not runs[0]["settings"]["capacity"]
    limit = bound.learning if learning else bound.limit
    middle, worst = statistics.median(values), min(values) if bound.least else max(values)
    holds = middle >= limit if bound.least else middle <= limit
    if holds:
        return None
    return (f"{name}: {bound.figure} {middle:g} (worst of {len(values)}: {worst:g}), "
            f"promised {'at least' if bound.least else 'at most'} {limit:g}")


def scaled(bound, run):
    """A figure as it would be at the rate that its bound was written for.

    Nothing to tell is 0: nothing failed, nothing was late, and no capacity was seen in use.
    """
    value = run["figures"][bound.figure] or 0
    return value / max(1, run["settings"]["orders"] / scenarios.USUAL_ORDERS) if bound.per_rate else value

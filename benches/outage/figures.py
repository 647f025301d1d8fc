"""From the records of one run to its figures.

Pure: lists of records in, a dictionary out. Every figure comes from what clients saw and what backends
did; nothing that a proxy says of itself counts, but for the label of a failed order, which is checked.

A request belongs to the fault when it was due before the fault's end and ended after its beginning, and
to the time after when it was due after the end (a repair takes a moment to reach every backend). It
failed unless it was answered 200, by its own answer.
"""

import collections
import json

SECOND = 1_000_000_000
PRIMARY = "aws"
# What a failed order may say of itself without having been executed.
NEVER_EXECUTED = ("not-sent", "shed")
LABELS = (*NEVER_EXECUTED, "unknown")
# How a WebSocket ends that never stood.
REFUSED = ("status", "handshake")
# Shares are told once the first reaction is over.
REACTION = SECOND
MOMENT = SECOND // 10


class Run:
    """The records of one run, sorted out."""

    def __init__(self, facts, clients, backends):
        """`facts`: begin, fault, repaired, end (ns), bad (providers), limit (requests/s left, or None)."""
        self.facts = facts
        self.requests = [line for line in clients if "start" in line]
        self.streams = [line for line in clients if "stream" in line]
        self.backends = backends
        self.executed = collections.defaultdict(list)
        for line in backends:
            if line["event"] == "order":
                self.executed[line["id"]].append(line["t"])

    def in_fault(self, request):
        return not self.after(request) and request["end"] >= self.facts["fault"]

    def after(self, request):
        return request["start"] >= self.facts["repaired"] + MOMENT

    def of(self, kind, when):
        return [request for request in self.requests if request["id"][0] == kind and when(request)]


def load(folder, facts):
    """The records that a run has left in its folder; `facts` are those of its run.json."""
    lines = lambda path: [json.loads(line) for line in path.read_text().splitlines()]
    backends = [line for path in sorted(folder.glob("*[0-9].jsonl")) for line in lines(path)]
    return Run(facts, lines(folder / "clients.jsonl"), backends)


class Unsound(Exception):
    """The fault was not what the scenario says; the run's figures mean nothing."""


def check(run):
    """Raises `Unsound` unless the records show that the fault took place."""
    fault, repaired, bad = (run.facts[key] for key in ("fault", "repaired", "bad"))
    theirs = [line for line in run.backends if provider(line) in bad]
    if run.facts["proof"] == "silent":
        alive = [line for line in theirs if fault + REACTION <= line["t"] < repaired]
        ticks = [line for line in run.streams if line["event"] == "tick" and provider({"by": line["text"]}) in bad
                 and fault + REACTION <= line["t"] < repaired]
        if alive or ticks:
            raise Unsound(f"{' and '.join(bad)} should be dead: {len(alive)} records, {len(ticks)} ticks, such as {(alive + ticks)[0]}")
    told = any(line["event"] == "command" and abs(line["t"] - fault) < REACTION for line in theirs)
    if run.facts["proof"] == "told" and not told:
        raise Unsound(f"the fault did not reach {' and '.join(bad)} when it should have")


def figures(run):
    """All figures of a run by name; None where there is nothing to tell."""
    return {**failures(run), **truth(run), **latencies(run), **shares(run), **way_back(run), **streams(run)}


def failed(request):
    return request["status"] != 200 or bool(request["error"])


def failures(run):
    found = {}
    kinds = collections.Counter()
    for kind, name in (("r", "reads"), ("o", "orders")):
        in_fault, after = run.of(kind, run.in_fault), run.of(kind, run.after)
        # What the capacity left could not carry is refused truly: it is counted apart.
        found[name] = len(in_fault)
        found[f"failed_{name}"] = sum(map(failed, in_fault))
        found[f"failed_{name}_after"] = sum(map(failed, after))
        kinds.update(f"{name} {request['error'] or request['status']} {request['label']}".strip()
                     for request in in_fault + after if failed(request))
    before = [request for request in run.requests if request["end"] < run.facts["fault"]]
    fault, repaired = run.facts["fault"], run.facts["repaired"]
    # By when a request was due, not by when its client was told: a deadline is no second outage.
    dues = sorted(max(request["start"], fault) for request in run.requests if failed(request) and request["end"] >= fault)
    found |= {
        "failed_before": sum(map(failed, before)),
        "failed_after": found["failed_reads_after"] + found["failed_orders_after"],
        "failed_how": dict(kinds.most_common()),
        "failed_after_s": max((seconds(due - repaired) for due in dues if due > repaired), default=0),
        "first_clean_s": first_clean(dues, fault),
        "last_failure_s": seconds(dues[-1] - fault) if dues else None,
    }
    return found


def first_clean(dues, fault):
    """When the first second without a failure began."""
    begin = fault
    for due in dues:
        if due - begin >= SECOND:
            break
        begin = due
    return seconds(begin - fault)


def truth(run):
    """What was done against what clients were told."""
    orders = run.of("o", lambda _: True)
    told = {request["id"]: request for request in orders}
    times = run.executed
    late = [seconds(t - told[ident]["end"]) for ident, all_times in times.items() if ident in told
            for t in all_times if t > told[ident]["end"]]
    return {
        "duplicates": sum(len(all_times) > 1 for all_times in times.values()),
        "untrue_labels": sum(untrue(request, request["id"] in times) for request in orders),
        # A backend's own answer is relayed as it is; every other failure has to say what became of it.
        "unlabelled": sum(failed(request) and not request["by"] and request["label"] not in LABELS for request in orders),
        "lost_answers": sum(failed(request) and request["id"] in times for request in orders),
        "executed_late": len(late),
        "latest_s": max(late, default=None),
    }


def untrue(request, executed):
    if not failed(request):
        return not executed
    return request["label"] in NEVER_EXECUTED and executed


def latencies(run):
    found = {}
    for kind, name in (("r", "read"), ("o", "order")):
        answered = sorted(r["end"] - r["start"] for r in run.of(kind, run.in_fault) if not failed(r))
        for label, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1)):
            found[f"{name}_{label}_ms"] = milliseconds(percentile(answered, share))
    shed = [r for r in run.of("r", run.in_fault) if r["status"] == 503]
    found["shed_p99_ms"] = milliseconds(percentile(sorted(r["end"] - r["start"] for r in shed), 0.99))
    found["shed_unsaid"] = sum(not r["retry_after"] for r in shed)
    # How late the clients themselves were: what the machine adds to every figure above.
    found["client_lag_p99_ms"] = milliseconds(percentile(sorted(r.get("lag", 0) for r in run.requests), 0.99))
    return found


def percentile(values, share):
    """The nearest rank in sorted values; None without any."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def shares(run):
    """Where requests went, by the backends' records, from one second into the fault to its end."""
    fault, repaired, bad = (run.facts[key] for key in ("fault", "repaired", "bad"))
    work = [line for line in run.backends if line["event"].removeprefix("refused-") in ("read", "order")]
    within = [line for line in work if fault + REACTION <= line["t"] < repaired]
    to_bad = sum(provider(line) in bad for line in within)
    arrived = [line["id"] for line in work if line["event"].endswith("read")]
    distinct = len(set(arrived))
    found = {
        "share_to_bad_percent": percent(to_bad, len(within)),
        "moved_percent": percent(sum(provider(line) != PRIMARY for line in within), len(within)),
        "to_bad": to_bad,
        "repeated_reads_percent": percent(len(arrived) - distinct, distinct),
        "capacity_used_percent": None,
    }
    if run.facts.get("limit"):
        # A WebSocket's opening takes its part of the allowance too.
        done = sum(line["status"] == 200 and fault + REACTION <= line["t"] < repaired for line in run.backends)
        found["capacity_used_percent"] = percent(done, run.facts["limit"] * (repaired - fault - REACTION) / SECOND)
    return found


def way_back(run):
    """How the primary's share of executed work comes back, second by second after the repair."""
    shape = by_second(run, run.facts["repaired"], run.facts["end"])
    reached = lambda share: next((at for at, value in enumerate(shape) if value >= share), None)
    return {"return_shape_percent": shape, "return_begins_s": reached(1), "return_half_s": reached(50),
            "return_whole_s": reached(90),
            # Seconds of the fault in which most of the work was done elsewhere.
            "away_s": sum(share < 50 for share in by_second(run, run.facts["fault"], run.facts["repaired"]))}


def by_second(run, begin, end):
    """The primary's share of the work done in each second, in percent."""
    buckets = [[0, 0] for _ in range(int((end - begin) // SECOND))]
    for line in run.backends:
        at = (line["t"] - begin) // SECOND
        if line["event"] in ("read", "order") and 0 <= at < len(buckets):
            buckets[at][provider(line) == PRIMARY] += 1
    return [percent(home, home + away) or 0 for away, home in buckets]


def streams(run):
    """Drops, silences and lost ticks of the WebSockets, from the fault on."""
    fault, end = run.facts["fault"], run.facts["end"]
    by_stream = collections.defaultdict(list)
    for line in run.streams:
        by_stream[line["stream"]].append(line)
    closed = [line for line in run.streams if line["event"] == "closed" and fault <= line["t"] < end]
    drops = [line for line in closed if not line["text"].startswith(REFUSED)]
    opened = collections.Counter((line["t"] - fault) // SECOND for line in run.streams
                                 if line["event"] == "open" and fault <= line["t"] < end)
    gaps = {number: longest_gap(lines, fault, end) for number, lines in by_stream.items()}
    first = {line["stream"]: line["t"] for line in reversed(drops)}
    hit = [number for number, lines in by_stream.items() if stood_at(lines, fault) in run.facts["bad"]]
    # A stream that fell silent and was never ended counts as ended when the run was.
    ended = [first.get(number, end) for number in hit if number in first or gaps[number] > SECOND]
    ticks = sum(line["event"] == "tick" and fault <= line["t"] < end for line in run.streams)
    due = len(by_stream) * 5 * (end - fault) / SECOND
    return {
        "streams": len(by_stream),
        "streams_dropped": len(drops),
        "streams_refused": len(closed) - len(drops),
        "streams_how": dict(collections.Counter(line["text"] for line in closed).most_common()),
        "streams_ended_s": seconds(max(ended) - fault) if ended else None,
        "streams_gap_s": seconds(max(gaps.values(), default=0)),
        "streams_gapped": sum(gap > SECOND // 2 for gap in gaps.values()),
        "streams_missed": max(0, round(due - ticks)),
        "streams_opened_peak": max(opened.values(), default=0),
    }


def stood_at(lines, fault):
    """The provider that a stream's ticks came from when the fault began."""
    ticks = [line for line in lines if line["event"] == "tick" and line["t"] < fault]
    return provider({"by": ticks[-1]["text"]}) if ticks else None


def longest_gap(lines, fault, end):
    """The longest time between two ticks that overlaps the fault or the time after."""
    ticks = sorted(line["t"] for line in lines if line["event"] == "tick")
    last = max((t for t in ticks if t < fault), default=fault)
    longest = 0
    for t in [*(t for t in ticks if fault <= t < end), end]:
        longest, last = max(longest, t - last), t
    return longest


def provider(line):
    return line["by"].rstrip("0123456789")


def percent(part, whole):
    return round(100 * part / whole, 1) if whole else None


def seconds(nanoseconds):
    return round(nanoseconds / SECOND, 3)


def milliseconds(nanoseconds):
    return None if nanoseconds is None else round(nanoseconds / 1e6, 1)

"""More than a proxy can do: its peak in a closed loop, with few connections and with as many as are
open afterwards, then one and a half times the first in an open loop.

The requests are of three classes, on connections of their own, as those of different clients are. A
client that finds none of its connections free waits for a second, then it goes away unserved.
"""

import measure
import workloads

# Class, method, body, share.
CLASSES = [("public_read", "GET", 0, 0.80), ("order", "POST", 512, 0.15), ("cancel", "DELETE", 0, 0.05)]
PEAK_CONNECTIONS, CONNECTIONS = 100, 2000
FACTOR = 1.5


def overload(site, peer, seconds):
    """Peak, calm and overload of one proxy, which is started and stopped."""
    peer.start()
    try:
        peer.wait_for_answers(peer.plain)
        workloads.generate(site, plan(peer, PEAK_CONNECTIONS, 1.0))
        peak = [goodput(workloads.generate(site, plan(peer, PEAK_CONNECTIONS, 2.0))[0]) for _ in range(2)]
        crowded = max(goodput(workloads.generate(site, plan(peer, CONNECTIONS, 2.0))[0]) for _ in range(2))
        for _ in range(2):  # Once to open what so many connections take.
            calm, _ = workloads.generate(site, plan(peer, CONNECTIONS, 2.0, rate=max(peak) / 2))
        warm = high_water(peer)
        told, _ = workloads.generate(site, plan(peer, CONNECTIONS, seconds, rate=max(peak) * FACTOR))
        after = high_water(peer)
    finally:
        peer.stop()
    return {"peak": max(peak), "offered": max(peak) * FACTOR, "goodput": goodput(told), "ratio": goodput(told) / max(peak),
            "crowded": crowded, "crowded_ratio": goodput(told) / crowded,
            "before_mib": warm / 1024, "peak_mib": after / 1024, "late_p99_us": told["late_us"]["p99"],
            "calm": {name: kind(calm, name) for name, *_ in CLASSES}, "classes": {name: kind(told, name) for name, *_ in CLASSES}}


def kind(told, name):
    """What became of the requests of a class, as shares, and the latency of what was answered."""
    seen = told["kinds"][name]
    shed = sum(seen["refused"].values())
    lost = seen["errors"] + seen["wrong"] + seen["unanswered"]
    whole = max(1, seen["answered"] + shed + lost + seen["unsent"])
    return {"answered": seen["answered"] / whole, "shed": shed / whole, "unsent": seen["unsent"] / whole, "lost": lost / whole,
            "statuses": seen["refused"], "latency_us": seen["latency_us"], "refused_us": seen["refused_us"]}


def goodput(told):
    """Right answers a second, of those within the time."""
    return sum(seen["in_time"] for seen in told["kinds"].values()) / told["seconds"]


def high_water(peer):
    return sum(measure.memory(pid, "status", "VmHWM:") for pid in peer.pids())


def plan(peer, connections, seconds, **more):
    kinds = [{"name": name, "method": method, "path": "/1k", "body": body, "expect": 1024, "share": share,
              "connections": max(1, round(connections * share))} for name, method, body, share in CLASSES]
    return {"port": peer.plain, "seconds": seconds, "kinds": kinds, **more}

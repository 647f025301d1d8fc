"""Memory: of a client connection that is kept open and idle, and whether it grows with requests."""

import time

import measure
import workloads

MANY = 9000
# Seconds that opening them may take: on a busy machine there are fewer of them. An idle one is kept for 60 s.
OPENING = 45
# A proxy has let go of what it lets go of, after this.
SETTLE = 1.5
WARM_REQUESTS = 50_000


def idle(site, peer, tls):
    """Memory of a fresh proxy, and with idle client connections; what each of them costs."""
    peer.start()
    try:
        peer.wait_for_answers(peer.plain)
        time.sleep(SETTLE)
        before = measure.pss(peer)
        count = min(MANY, site.connections - 200)
        process, told = workloads.hold(site, plan(peer, tls, connections=count, seconds=OPENING))
        time.sleep(SETTLE)
        after = measure.pss(peer)
        still = process.communicate("")[0]
        held = workloads.json.loads(still)["open"]
    finally:
        peer.stop()
    if held < min(count, told["kinds"]["all"]["answered"]):
        raise workloads.Failed(f"{peer.name} has ended idle connections: {held} of {count} are open")
    return {"connections": held, "empty_mib": before / 1024, "full_mib": after / 1024, "connection_kib": (after - before) / held}


def growth(site, peer, requests):
    """Memory after a first few requests, and after many more on as many connections."""
    peer.start()
    try:
        peer.wait_for_answers(peer.plain)
        workloads.generate(site, plan(peer, False, connections=64, seconds=60, requests=WARM_REQUESTS))
        time.sleep(SETTLE)
        before = measure.pss(peer)
        told, _ = workloads.generate(site, plan(peer, False, connections=64, seconds=180, requests=requests))
        time.sleep(SETTLE)
        after = measure.pss(peer)
    finally:
        peer.stop()
    return {"requests": told["kinds"]["all"]["answered"], "before_mib": before / 1024, "after_mib": after / 1024,
            "grown_mib": (after - before) / 1024}


def plan(peer, tls, connections, **more):
    kind = {"name": "all", "path": "/1k", "expect": 1024, "connections": connections}
    return {"port": peer.tls if tls else peer.plain, "tls": tls, "kinds": [kind], **more}

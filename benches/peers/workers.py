"""One worker beside two: what a request costs when there is someone to share with."""

import measure
import workloads

NAMES = ("h1-1k", "post-4k")


def workers(site, binary, rounds, seconds, patience):
    """CPU time per request with one and with two workers, on the same CPUs, in turn."""
    cpus = f"{site.proxy_cpu},{site.load_cpu}"
    peers = [site.proxy("leeward", binary, workers=count, cpus=cpus) for count in (1, 2)]
    for peer, count in zip(peers, (1, 2)):
        peer.name = f"leeward with {count}"
    found = []
    try:
        for peer in peers:
            peer.start()
            peer.wait_for_answers(peer.plain)
        for turn in range(rounds):
            for name in NAMES:
                one, two = (measure.best_sample(site, peer, workloads.WORKLOADS[name], seconds, patience) for peer in peers)
                found.append({"round": turn, "workload": name, "one_us": one["cpu_us"], "two_us": two["cpu_us"],
                              "ratio": two["cpu_us"] / one["cpu_us"]})
    finally:
        for peer in peers:
            peer.stop()
    return found

#!/usr/bin/env python3
"""Shows that the bench would see what it looks for: made-up samples in, tables and verdicts out.

    python3 benches/peers/selftest.py
"""

import os
import pathlib
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True

import install
import lies
import measure
import overload
import peers
import tables
import workloads

H2LOAD = """Application protocol: {protocol}
requests: 1010 total, 1010 started, 1000 done, {good} succeeded, 0 failed, 0 errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 1.10MB (1153434) total, 20.00KB (20480) headers (space savings 90.00%), 1.00MB ({data}) data
"""
LOG = "".join(f"100\t200\t{took}\n" for took in range(1, 1001))


def told(good=1000, data=1000 * 1024, protocol="h2"):
    text = H2LOAD.format(protocol=protocol, good=good, bad=1000 - good, data=data)
    return workloads.of_h2load(text, LOG, 1024, 2)


def seen(**changed):
    """What `load` says of a kind."""
    zeros = dict.fromkeys(("p50", "p99", "p999", "max"), 0)
    return {"answered": 100, "in_time": 100, "wrong": 0, "refused": {}, "errors": 0, "unanswered": 0, "unsent": 0,
            "latency_us": zeros, "refused_us": zeros} | changed


def run(peer, turn, cpu, **more):
    return {"round": turn, "workload": "h1-1k", "peer": peer, "cpu_us": cpu, "errors": 0} | more


class Counting(unittest.TestCase):
    def test_answers_that_are_not_right_are_errors(self):
        self.assertEqual(workloads.figures(seen(), 2)["errors"], 0)
        for wrong in ({"wrong": 3}, {"errors": 3}, {"unsent": 3}, {"refused": {"503": 2, "502": 1}}):
            self.assertEqual(workloads.figures(seen(**wrong), 2)["errors"], 3, wrong)

    def test_h2load_is_read(self):
        found = told()
        self.assertEqual((found["requests"], found["errors"], found["per_second"]), (1000, 0, 500))
        self.assertEqual((found["p50_us"], found["p99_us"]), (501, 991))

    def test_refusals_over_http2_are_errors(self):
        self.assertEqual(told(good=900, data=900 * 1024)["errors"], 100)

    def test_answers_over_http2_of_another_length_are_errors(self):
        for data in (1000 * 1000, 1000 * 2048):
            self.assertEqual(told(data=data)["errors"], 1000)

    def test_http1_is_not_taken_for_http2(self):
        with self.assertRaises(workloads.Failed):
            told(protocol="http/1.1")


class Tables(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        runs = [run("a", 0, 10), run("b", 0, 20), run("a", 1, 100), run("b", 1, 110), run("a", 2, 10), run("b", 2, 20)]
        ratio = tables.row(runs, "h1-1k", "b", "a")["ratio"]
        self.assertEqual((ratio["median"], ratio["lowest"], ratio["highest"]), (2, 1.1, 2))

    def test_errors_are_told_at_the_top(self):
        runs = [run("a", 0, 10), run("b", 0, 20, errors=7)]
        facts = {"command": "", "machine": "", "minutes": 1, "versions": {}, "failed": ["idle caddy"], "samples": [], "summary": tables.summary(runs, ["a", "b"], "a")}
        self.assertIn("b in h1-1k (7)", tables.head(facts))
        self.assertIn("Failed: idle caddy", tables.head(facts))

    def test_what_became_of_a_class_adds_up(self):
        part = overload.kind({"kinds": {"order": seen(answered=50, refused={"503": 25}, unsent=15, errors=5, unanswered=5)}}, "order")
        self.assertEqual([part[key] for key in ("answered", "shed", "unsent", "lost")], [0.5, 0.25, 0.15, 0.1])


class Noise(unittest.TestCase):
    def test_the_quietest_sample_counts_and_not_the_best(self):
        noise = iter([3.0, 0.6, 2.0])
        made = lambda *_: {"other_cores": next(noise), "cpu_us": 1}
        self.addCleanup(setattr, measure, "sample", measure.sample)
        self.addCleanup(setattr, workloads, "load", workloads.load)
        measure.sample, workloads.load = made, lambda *_: None
        patience = types.SimpleNamespace(left=1, wait_for_quiet=lambda: None)
        self.assertEqual(measure.best_sample(None, None, None, 1, patience)["other_cores"], 0.6)

    def test_the_clock_of_a_process_is_read(self):
        mine = types.SimpleNamespace(pids=lambda: [os.getpid()])
        before = measure.clock(mine)
        while measure.clock(mine) < before + 0.01:
            pass
        self.assertGreater(sum(measure.ticks(mine)), 0)


class Templates(unittest.TestCase):
    def test_every_word_of_every_configuration_is_known(self):
        with tempfile.TemporaryDirectory() as folder:
            site = peers.Site(pathlib.Path(folder), 0, 0)
            for name in peers.CONFIGURATIONS:
                site.proxy(name, "leeward")
            for path in pathlib.Path(folder).glob("*-*"):
                self.assertNotRegex(path.read_text(), r"@\w+@")


@unittest.skipUnless(install.find("load"), "the load generator is not built: benches/peers/run builds it, and asks the same")
class Lies(unittest.TestCase):
    def test_the_load_generator_sees_proxies_that_lie(self):
        self.assertEqual(lies.unseen(0), [])


if __name__ == "__main__":
    unittest.main()

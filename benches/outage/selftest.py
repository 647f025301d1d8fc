#!/usr/bin/env python3
"""Shows that the bench would see what it looks for: made-up records in, figures and verdicts out.

    python3 benches/outage/selftest.py
"""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path[1:1] = [str(pathlib.Path(__file__).resolve().parents[1] / "peers")]

import figures
import judge
import names
import proxies
import scenarios

SECOND = figures.SECOND
FACTS = {"begin": 0, "fault": 5 * SECOND, "repaired": 20 * SECOND, "end": 35 * SECOND, "bad": ["aws"]}


def request(ident, at, status=200, took=0.01, **more):
    return {"id": ident, "start": int(at * SECOND), "lag": 0, "end": int((at + took) * SECOND), "status": status, "error": "",
            "label": "", "by": "aws1" if status == 200 else "", "retry_after": ""} | more


def work(ident, at, event="order", by="aws1", status=200):
    return {"t": int(at * SECOND), "by": by, "event": event, "id": ident, "status": status}


def stream(at, event, number=0, text="aws1"):
    return {"stream": number, "t": int(at * SECOND), "event": event, "text": text}


def told(clients, backends, **facts):
    return figures.figures(figures.Run(FACTS | facts, clients, backends))


def result(scenario, turn=1, **changed):
    """A run of leeward in which all is well, but for what is changed."""
    clean = told([request("r1", 5.5), request("o1", 5.5)], [work("r1", 5.5, "read"), work("o1", 5.5)])
    clean |= {"capacity_used_percent": 99.0, "away_s": 0}
    return {"scenario": scenario, "proxy": "leeward", "round": turn, "settings": {"orders": 60, "capacity": 200}, "figures": clean | changed}


class Truth(unittest.TestCase):
    def test_an_order_executed_at_two_providers_is_a_duplicate(self):
        found = told([request("o1", 6)], [work("o1", 6.001), work("o1", 6.1, by="gcp1")])
        self.assertEqual((found["duplicates"], found["untrue_labels"]), (1, 0))

    def test_an_order_executed_twice_by_one_backend_is_a_duplicate(self):
        self.assertEqual(told([request("o1", 6)], [work("o1", 6.001), work("o1", 6.002)])["duplicates"], 1)

    def test_a_label_that_denies_an_execution_is_untrue(self):
        for label in ("not-sent", "shed"):
            found = told([request("o1", 6, 503, label=label)], [work("o1", 6.001)])
            self.assertEqual((found["untrue_labels"], found["lost_answers"]), (1, 1), label)

    def test_unknown_is_true_either_way(self):
        for backends in ([], [work("o1", 6.001)]):
            found = told([request("o1", 6, 504, label="unknown")], backends)
            self.assertEqual((found["untrue_labels"], found["unlabelled"], found["failed_orders"]), (0, 0, 1))

    def test_a_success_that_nobody_executed_is_untrue(self):
        self.assertEqual(told([request("o1", 6)], [])["untrue_labels"], 1)

    def test_a_failure_of_the_proxy_without_a_label_is_unlabelled_and_a_relayed_one_is_not(self):
        clients = [request("o1", 6, 502), request("o2", 6, 0, error="reset"), request("o3", 6, 503, by="aws1")]
        self.assertEqual(told(clients, [])["unlabelled"], 2)

    def test_an_order_executed_after_its_answer_is_late(self):
        found = told([request("o1", 6, 504, took=4, label="unknown")], [work("o1", 31)])
        self.assertEqual((found["executed_late"], found["latest_s"]), (1, 21.0))


class Counting(unittest.TestCase):
    def test_failures_are_told_apart_by_when_they_were(self):
        clients = [request("r1", 4, 502), request("r2", 4.9, 0, took=5, error="timeout"), request("r3", 19, 502), request("r4", 21, 502)]
        found = told(clients, [])
        self.assertEqual([found[key] for key in ("failed_before", "failed_reads", "failed_reads_after")], [1, 2, 1])

    def test_the_first_clean_second_begins_after_the_failures_that_follow_each_other(self):
        found = told([request("r1", 5.2, 502), request("r2", 5.9, 502), request("r3", 12, 502)], [])
        self.assertEqual((found["first_clean_s"], found["last_failure_s"]), (0.9, 7.0))

    def test_an_answer_of_another_request_is_a_failure(self):
        self.assertEqual(told([request("r1", 6, error="answer of another request")], [])["failed_reads"], 1)

    def test_shares_are_those_of_the_backends_records(self):
        backends = [work(f"r{n}", 7, "read", by="aws1" if n < 3 else "gcp2") for n in range(12)]
        self.assertEqual(told([], backends)["share_to_bad_percent"], 25.0)

    def test_reads_that_reach_two_backends_are_repeated(self):
        backends = [work(f"r{n}", 7, "read") for n in range(10)] + [work("r3", 7.1, "read", by="gcp1")]
        self.assertEqual(told([], backends)["repeated_reads_percent"], 10.0)

    def test_the_way_back_is_told_second_by_second(self):
        backends = [work("r", 20.5, "read", by="gcp1"), work("r", 21.5, "read"), work("r", 21.6, "read", by="gcp1"), work("r", 22.5, "read")]
        found = told([], backends)
        self.assertEqual((found["return_shape_percent"][:3], found["return_half_s"], found["return_whole_s"]), ([0, 50.0, 100.0], 1, 2))

    def test_seconds_in_which_most_was_done_elsewhere_are_counted(self):
        backends = [work("r", 5 + n + 0.5, "read", by="gcp1" if n in (3, 4) else "aws2") for n in range(15)]
        self.assertEqual(told([], backends)["away_s"], 2)


class Streams(unittest.TestCase):
    def test_a_stream_that_falls_silent_and_is_never_ended_counts_to_the_end(self):
        found = told([stream(4, "open"), stream(4.9, "tick")], [])
        self.assertEqual((found["streams_dropped"], found["streams_gapped"], found["streams_ended_s"]), (0, 1, 30.0))

    def test_one_silent_stream_among_ended_ones_is_not_overlooked(self):
        found = told([stream(4.9, "tick"), stream(5.2, "closed"), stream(4.9, "tick", 1)], [])
        self.assertEqual((found["streams_dropped"], found["streams_ended_s"]), (1, 30.0))

    def test_streams_that_stood_elsewhere_and_refused_ones_are_told_apart(self):
        clients = [stream(4.9, "tick", text="gcp1"), stream(30, "closed", text="close 1012"), stream(30.1, "closed", text="status 503")]
        found = told(clients, [])
        self.assertEqual((found["streams_dropped"], found["streams_refused"], found["streams_ended_s"]), (1, 1, None))

    def test_a_stream_that_is_ended_is_told_with_when_and_how(self):
        ticks = [stream(5.6 + n / 5, "tick") for n in range(147)]
        found = told([stream(4.9, "tick"), stream(5.4, "closed", text="close 1012"), stream(5.5, "open"), *ticks], [])
        self.assertEqual((found["streams_ended_s"], found["streams_how"], found["streams_gap_s"]), (0.4, {"close 1012": 1}, 0.7))


class Soundness(unittest.TestCase):
    def test_a_dead_provider_that_works_makes_a_run_worthless(self):
        with self.assertRaises(figures.Unsound):
            figures.check(figures.Run(FACTS | {"proof": "silent"}, [], [work("r1", 10, "read")]))
        figures.check(figures.Run(FACTS | {"proof": "silent"}, [], [work("r1", 10, "read", by="gcp1"), work("r1", 20.5, "read")]))

    def test_a_fault_that_reached_no_backend_makes_a_run_worthless(self):
        with self.assertRaises(figures.Unsound):
            figures.check(figures.Run(FACTS | {"proof": "told"}, [], [work("", 9, "command")]))
        figures.check(figures.Run(FACTS | {"proof": "told"}, [], [work("", 5.1, "command")]))


class Verdicts(unittest.TestCase):
    def test_clean_runs_break_nothing(self):
        self.assertEqual(judge.broken([result(scenario.name) for scenario in scenarios.SCENARIOS]), [])

    def test_one_duplicate_in_one_of_five_rounds_breaks_the_promise(self):
        runs = [result("crash", turn, duplicates=int(turn == 4)) for turn in range(1, 6)]
        self.assertEqual(judge.broken(runs), ["crash, round 4: duplicates 1, promised 0 always"])
        self.assertEqual(len(judge.broken(runs, short=True)), 1)

    def test_the_median_has_to_hold_and_the_worst_is_told(self):
        reads = lambda *counts: [result("crash", turn, failed_reads=count) for turn, count in enumerate(counts, 1)]
        self.assertEqual(judge.broken(reads(0, 0, 0, 9, 9)), [])
        self.assertEqual(judge.broken(reads(0, 0, 1, 9, 9)), ["crash: failed_reads 1 (worst of 5: 9), promised at most 0"])

    def test_a_bound_by_rate_grows_with_the_rate(self):
        run = result("hang", failed_orders=20)
        self.assertEqual(len(judge.broken([run])), 1)
        self.assertEqual(judge.broken([run | {"settings": {"orders": 120, "capacity": 400}}]), [])

    def test_a_policy_that_declares_no_capacity_may_learn_it(self):
        run = result("capacity", failed_orders=5)
        self.assertEqual(len(judge.broken([run])), 1)
        self.assertEqual(judge.broken([run | {"settings": {"orders": 60, "capacity": 0}}]), [])

    def test_capacity_that_lies_idle_breaks_a_floor(self):
        self.assertEqual(len(judge.broken([result("capacity", capacity_used_percent=60.0)])), 1)

    def test_other_proxies_are_not_judged(self):
        self.assertEqual(judge.broken([result("crash", duplicates=3) | {"proxy": "haproxy"}]), [])


class Templates(unittest.TestCase):
    def test_configurations_fit_pools_of_any_size(self):
        for name in proxies.TEMPLATES:
            for size in (1, 2, 4):
                words = {f"{provider}{n}": f"{provider.lower()}{n}.lab" for provider in ("AWS", "GCP", "SELFHOSTED") for n in range(1, size + 1)}
                words |= {f"{provider}": f"{provider.lower()}.lab" for provider in ("AWS", "GCP", "SELFHOSTED")}
                words |= dict.fromkeys(("DNS", "PORT", "CAPACITY", "LAST", "LISTEN_IP", "LISTEN_PORT", "WORK", "ADMIN_PORT"), 1)
                text = proxies.fill(name, words, size)
                if name != "envoy":
                    counts = {text.count(f"gcp{n}.lab") for n in range(1, size + 1)}
                    self.assertEqual(len(counts), 1, (name, size, text))
                self.assertNotIn(f"gcp{size + 1}", text)


class Lies(unittest.TestCase):
    QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04aws1\x03lab\x00\x00\x01\x00\x01"

    def answer(self, lie, table):
        server = names.Names(table)
        server.lie = lie
        return server.answer(self.QUESTION[:2], *names.read_question(self.QUESTION))

    def test_names_are_told_and_lied_about(self):
        table = {"aws1.lab": ["10.77.2.1"]}
        self.assertTrue(self.answer(None, table).endswith(b"\x0a\x4d\x02\x01"))
        self.assertEqual(self.answer("empty", table)[3:8], b"\x80\x00\x01\x00\x00")
        self.assertEqual(self.answer("nxdomain", table)[3] & 15, 3)
        self.assertEqual(self.answer("servfail", table)[3] & 15, 2)

    def test_what_is_no_question_is_passed_over(self):
        self.assertIsNone(names.read_question(self.QUESTION[:20]))


if __name__ == "__main__":
    unittest.main()

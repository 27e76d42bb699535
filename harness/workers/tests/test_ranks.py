"""The coordinator of ranks without a launcher and without torch: what it passes on, and whom it puts an end down to.

Run with: python3 -m unittest discover -s harness/workers/tests
"""

import json
import mmap
import os
import signal
import socket
import struct
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import transformers_worker as worker  # noqa: E402


def request(**placement):
    ranks = {"launcher": "torchrun", "processes": 2, "backend": None, "parallel": "data"}
    whole = {"device_map": {"ranks": ranks}, "max_memory": None, "transfer": "direct", **placement}
    return {"placement": whole, "devices": [], "companion_prompts": [], "transformers": {}}


class Launcher:
    """A launcher that has not ended, unless it is told to."""

    def __init__(self):
        self.code = None

    def poll(self):
        return self.code


class Job:
    """A coordinator whose ranks are sockets of this process."""

    def __init__(self):
        self.said = []
        self.file = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.file.write(b"\0" * 4096)
        self.file.flush()
        heard = worker.Worker(self.said.append, worker.Breadcrumb(self.file.name))
        self.coordinator = worker.Coordinator(heard, request())
        self.coordinator.launcher = Launcher()
        self.ranks = []
        for rank in self.coordinator.ranks:
            ours, theirs = socket.socketpair()
            link = worker.Link(theirs)
            self.coordinator.selector.register(theirs, 1, lambda link=link: self.coordinator.read(link))
            self.ranks.append(worker.Link(ours))
            self.ranks[-1].send({"rank": rank.number, "pid": 1 << 30 | rank.number})
            self.turn()
            self.start = self.ranks[-1].receive()

    def turn(self):
        for key, _ in self.coordinator.selector.select(0):
            key.data()
        self.coordinator.pass_on()

    def say(self, rank, event, **fields):
        self.ranks[rank].send({"t_s": fields.pop("t_s", 1.0), "event": event, **fields})
        self.turn()

    def events(self):
        return [event["event"] for event in self.said]

    def end(self, rank, code=None):
        """A rank is gone; the launcher tells how, if it does."""
        self.ranks[rank].socket.close()
        self.turn()
        if code is not None:
            self.coordinator.codes[1 << 30 | rank] = code

    def judged(self):
        """The failure it names once nothing more comes."""
        for _ in range(80):
            failure = self.judged_once()
            if failure is not None:
                return failure
            time.sleep(0.1)
        return None

    def judged_once(self):
        try:
            self.coordinator.look_for_ends()
        except worker.Failure as failure:
            return failure
        return None

    def close(self):
        for rank in self.ranks:
            rank.socket.close()
        self.coordinator.ranks = []
        self.coordinator.launcher = None
        self.coordinator.stop()
        self.file.close()


class RanksTest(unittest.TestCase):
    def setUp(self):
        self.job = Job()
        self.addCleanup(self.job.close)

    def test_an_event_has_happened_when_the_last_rank_had_it(self):
        job = self.job
        self.assertEqual(job.start["request"]["placement"]["device_map"]["ranks"]["processes"], 2)
        token = {"generation": 0, "index": 0, "id": 7, "top2_gap": 0.5}
        job.say(0, "token", t_s=1.0, **token)
        self.assertEqual(job.events(), [])
        job.say(1, "token", t_s=3.0, **token)
        self.assertEqual(job.said, [{"t_s": 3.0, "event": "token", **token}])

    def test_what_ranks_hold_is_added_up_and_told_apart(self):
        job = self.job
        for rank in (0, 1):
            job.say(rank, "memory", device="cpu", kind="weights", bytes=10, allowed_bytes=None)
            held = [{"module": "lm_head", "device": "cpu", "bytes": 10}]
            job.say(rank, "loaded", realised=held, eos_token_ids=[2])
        self.assertEqual(job.said[0]["bytes"], 20)
        self.assertEqual([(m["rank"], m["bytes"]) for m in job.said[1]["realised"]], [(0, 10), (1, 10)])

    def test_gpus_of_ranks_have_figures_of_their_own(self):
        job = self.job
        for rank in (0, 1):
            job.say(rank, "memory", device=f"cuda:{rank}", kind="peak", bytes=5 + rank, allowed_bytes=None)
        self.assertEqual([(e["device"], e["bytes"]) for e in job.said], [("cuda:0", 5), ("cuda:1", 6)])

    def test_another_token_is_the_fault_of_a_named_rank(self):
        job = self.job
        job.say(0, "token", generation=0, index=3, id=7, top2_gap=0.5)
        with self.assertRaises(worker.Failure) as caught:
            job.say(1, "token", generation=0, index=3, id=8, top2_gap=0.5)
        self.assertEqual(caught.exception.details, {"rank": 1})
        self.assertIn("rank 1 of 2 made token 8 where rank 0 made 7, at position 3", caught.exception.message)

    def test_ranks_that_do_different_things_are_a_failure(self):
        self.job.say(0, "started", generation=0, warmup=False)
        with self.assertRaises(worker.Failure) as caught:
            self.job.say(1, "done")
        self.assertEqual(caught.exception.message, "rank 1 of 2 said done where rank 0 said started")

    def test_a_generation_ends_with_its_last_rank(self):
        for rank, (start, stamps) in enumerate([(1.0, [0.1, 0.2]), (1.05, [0.1, 0.1])]):
            result = {"output_ids": [7, 8], "text": "x", "start_s": start, "token_stamps_s": stamps}
            self.job.say(rank, "finished", generation=0, warmup=False, result=result)
        result = self.job.said[0]["result"]
        self.assertEqual(result["start_s"], 1.0)
        self.assertEqual([round(stamp, 6) for stamp in result["token_stamps_s"]], [0.15, 0.2])

    def test_everything_is_over_only_with_the_launcher(self):
        for rank in (0, 1):
            self.job.say(rank, "done")
        self.assertFalse(self.job.coordinator.is_over())
        self.job.coordinator.launcher.code = 0
        self.assertTrue(self.job.coordinator.is_over())
        self.assertIsNone(self.job.judged_once())


class EndsTest(unittest.TestCase):
    def setUp(self):
        self.job = Job()
        self.addCleanup(self.job.close)

    def lost(self, rank):
        words = "generating: RuntimeError: [gloo] Connection closed by peer"
        self.job.say(rank, "error", failure={"class": "internal", "message": words, "phase": "decode"})

    def test_a_signal_is_named_though_the_victim_spoke_first(self):
        self.lost(0)
        self.job.end(1, -signal.SIGSEGV)
        failure = self.job.judged()
        self.assertEqual((failure.failure_class, failure.details), ("panic", {"rank": 1}))
        self.assertEqual(failure.message, "rank 1 of 2 died of SIGSEGV")

    def test_where_it_died_is_read_from_its_breadcrumb(self):
        self.job.coordinator.places = [["model.layers.0", "cpu"], ["model.layers.1", "cpu"]]
        words = [int.from_bytes(b"placebc1", "little"), 9, worker.PHASES.index("decode") + 1, 0, 4, worker.MODULE, 1, 0]
        page = mmap.mmap(self.job.file.fileno(), 4096)
        page[128:192] = struct.pack("<8Q", *words)
        self.job.end(1, -signal.SIGKILL)
        failure = self.job.judged()
        self.assertEqual(failure.message, "rank 1 of 2 died of SIGKILL, in decode, token 3, model.layers.1")
        self.assertEqual(failure.details["place"], {"module": {"module": "model.layers.1", "device": "cpu"}})
        self.assertEqual(self.job.coordinator.worker.current_phase, "decode")

    def test_what_a_rank_raised_comes_before_those_the_launcher_ended_for_it(self):
        self.job.end(0, -signal.SIGTERM)
        failure = {"class": "out_of_memory", "message": "out of memory", "phase": "decode", "device": "cuda:1"}
        self.job.say(1, "error", failure=failure)
        judged = self.job.judged()
        self.assertEqual((judged.failure_class, judged.details), ("out_of_memory", {"rank": 1, "device": "cuda:1"}))
        self.assertEqual(judged.message, "rank 1 of 2 failed: out of memory")

    def test_an_exit_code_without_a_word(self):
        self.job.end(0, 3)
        self.assertEqual(self.job.judged().message, "rank 0 of 2 ended with exit code 3 and gave no reason")

    def test_where_all_have_lost_somebody_the_first_is_named(self):
        self.lost(1)
        self.lost(0)
        with mock.patch.object(worker, "REPORT_S", 0.4):
            self.assertTrue(self.job.judged().message.startswith("rank 1 of 2 failed: generating"))

    def test_a_rank_that_has_said_all_may_go_before_the_others_have(self):
        self.job.say(0, "done")
        self.job.end(0)
        with mock.patch.object(worker, "SETTLE_S", 0), mock.patch.object(worker, "REPORT_S", 0):
            self.assertIsNone(self.job.judged_once())
            self.job.coordinator.codes[1 << 30] = 0
            self.assertIsNone(self.job.judged_once())
            self.job.coordinator.codes[1 << 30] = -signal.SIGABRT
            self.assertEqual(self.job.judged_once().message, "rank 0 of 2 died of SIGABRT")

    def test_a_launcher_that_fails_by_itself_is_told_of(self):
        self.job.coordinator.launcher.code = 1
        for rank in self.job.coordinator.ranks:
            rank.pid = None
        message = self.job.judged().message
        self.assertEqual(message, "torchrun ended with exit code 1 before rank 0, 1 had started; its own words are in the log")


class LaunchTest(unittest.TestCase):
    def test_the_users_own_configuration_is_not_read(self):
        with tempfile.TemporaryDirectory() as folder:
            ranks = {"launcher": "accelerate", "processes": 3}
            command = worker.launcher_command(ranks, folder)
            config = command[command.index("--config_file") + 1]
            with open(config, encoding="utf-8") as file:
                self.assertEqual(json.load(file)["num_processes"], 3)
            command = worker.launcher_command({**ranks, "launcher": "torchrun"}, folder)
            self.assertEqual(command[3:7], ["torch.distributed.run", "--standalone", "--nproc-per-node", "3"])

    def refused(self, asked, environment=None):
        with mock.patch.dict(os.environ, environment or {}), self.assertRaises(worker.Failure) as caught:
            worker.check_launch(asked)
        return caught.exception

    def test_what_ranks_cannot_do_is_refused_by_its_key(self):
        worker.check_launch(request())
        self.assertIn("RANK is set", self.refused(request(), {"RANK": "0"}).message)
        self.assertIn("max_memory", self.refused(request(max_memory=[["cpu", 1]])).message)
        self.assertIn('transfer = "host"', self.refused(request(transfer="host")).message)
        moved = {**request(), "transformers": {"move_to": "cpu"}}
        self.assertIn("transformers.move_to", self.refused(moved).message)
        several = {**request(), "companion_prompts": [{"text": "x"}]}
        self.assertIn("batch", self.refused(several).message)

    def test_a_map_under_a_launcher_is_refused_with_the_reason(self):
        asked = {
            "placement": {"device_map": {"strategy": "auto"}, "concurrency": "single"},
            "generation": {"max_new_tokens": 1},
            "faults": [],
            "dtype": None,
            "model": {"path": "m"},
        }
        with mock.patch.dict(os.environ, {"WORLD_SIZE": "2"}), self.assertRaises(worker.Failure) as caught:
            worker.check_request(asked)
        self.assertIn("WORLD_SIZE is set", caught.exception.message)

    def test_a_fault_of_a_rank_strikes_there_only(self):
        faults = [{"kind": "stall", "at": {"rank": 1, "phase": "decode"}}]
        heard = worker.Worker(lambda _event: None, worker.Breadcrumb(None))
        heard.current_phase = "decode"
        for rank, strikes in [("0", 0), ("1", 1)]:
            environment = {"RANK": rank, worker.RANKS_VARIABLE: "/x"}
            with mock.patch.dict(os.environ, environment):
                self.assertEqual(len(worker.Faults(faults, heard, None).strikes("stall")), strikes)
        with mock.patch.dict(os.environ, {"RANK": "1"}):
            self.assertEqual(worker.Faults(faults, heard, None).strikes("stall"), [], "no rank of ours")


if __name__ == "__main__":
    unittest.main()

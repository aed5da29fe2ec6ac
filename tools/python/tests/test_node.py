import threading
import time
import unittest
import unittest.mock

import numpy

import antiphon
from antiphon import wire
from antiphon.records import Record
from tests.harness import Run

BEGAN, VALUE, TURN_ENDED, ENDED, CLOSED = (
    wire.SESSION_BEGAN, wire.VALUE, wire.TURN_ENDED, wire.SESSION_ENDED, wire.CLOSED,
)
PORTS = {"inputs": {"text": "text"}, "outputs": {"loud": "text"}}


class Shout(antiphon.Node):
    text = antiphon.Input(antiphon.Text)
    loud = antiphon.Output(antiphon.Text)

    def on_text(self, text, turn):
        self.loud.send(antiphon.Text(text.string.upper() + "!" * self.parameters.get("marks", 0)))


class NodeTests(unittest.TestCase):
    def test_values_and_marks_go_through(self):
        with Run(Shout, **PORTS, parameters={"marks": 2}) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            self.assertEqual(text.credits, 4)
            text.mark(BEGAN)
            text.value(antiphon.Text("hello"), time=42, trace=9)
            text.mark(TURN_ENDED, epoch=1)
            text.mark(ENDED)
            text.mark(CLOSED)
            began, value, turn, ended, closed = (loud.record() for _ in range(5))
            self.assertEqual((began.content, began.name), (BEGAN, "kitchen"))
            self.assertEqual(value.value, antiphon.Text("HELLO!!"))
            self.assertEqual((value.session, value.epoch, value.time, value.trace), (1 << 32 | 1, 1, 42, 9))
            self.assertEqual((turn.content, turn.epoch), (TURN_ENDED, 1))
            self.assertEqual((ended.content, closed.content), (ENDED, CLOSED))
            run.event("nodeEnded")
            report = run.finish()
            self.assertEqual((report["nodes"][0]["received"], report["nodes"][0]["sent"]), (1, 1))
            self.assertEqual(sum(report["nodes"][0]["latency"]["counts"]), 4)
            self.assertEqual(run.status, [0])

    def test_credit_comes_back_for_what_was_taken(self):
        with Run(Shout, **PORTS, depth=2) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            self.assertEqual(loud.record().content, BEGAN)
            for number in range(6):
                text.value(antiphon.Text(str(number)))
                self.assertEqual(loud.record().value.string, str(number))
                text.take_credit(1)
                loud.credit(1)

    def test_nothing_is_sent_without_credit(self):
        with Run(Shout, **PORTS, depth=2) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            for number in range(3):
                text.value(antiphon.Text(str(number)))
                text.take_credit(1)
            self.assertEqual([loud.record().content for _ in range(3)], [BEGAN, VALUE, VALUE])
            self.assertTrue(loud.quiet())
            loud.credit(1)
            self.assertEqual(loud.record().value.string, "2")

    def test_several_sessions_keep_apart(self):
        with Run(Shout, **PORTS) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            for number in (1, 2):
                text.mark(BEGAN, session=1 << 32 | number, name=f"s{number}")
                text.send(Record(VALUE, 1 << 32 | number, 1, value=antiphon.Text(f"s{number}")))
            text.mark(ENDED, session=1 << 32 | 2)
            found = [loud.record() for _ in range(5)]
            self.assertEqual([r.session & 0xFF for r in found], [1, 1, 2, 2, 2])
            self.assertEqual([r.value.string for r in found if r.value], ["S1", "S2"])

    def test_a_sink_says_what_has_come_to_its_end(self):
        class Sink(antiphon.Node):
            sound = antiphon.Input(antiphon.AudioChunk, rate=16000)

            def on_sound(self, sound, turn):
                self.played(turn, sound.duration)
                self.print(f"{sound.frames} frames")

        with Run(Sink, inputs={"sound": "audio[channels=1, rate=16000]"}) as run:
            sound = run.inputs["sound"]
            sound.mark(BEGAN)
            sound.value(antiphon.AudioChunk(numpy.zeros(16000), 16000))
            sound.mark(TURN_ENDED, epoch=1)
            sound.mark(ENDED)
            self.assertEqual(run.event("played"), {"session": 1 << 32 | 1, "epoch": 1, "time": 1_000_000_000})
            self.assertEqual(run.event("print")["text"], "16000 frames")
            self.assertEqual(run.event("reached"), {"session": 1 << 32 | 1, "epoch": 1, "node": 1})
            self.assertEqual(run.event("reached")["epoch"], 0)


class InterruptionTests(unittest.TestCase):
    def test_a_node_at_work_is_interrupted_and_acknowledges(self):
        at_work = threading.Event()

        class Slow(Shout):
            def on_text(self, text, turn):
                at_work.set()
                while text.string == "slow":
                    time.sleep(0.005)
                    turn.check()
                super().on_text(text, turn)

        with Run(Slow, **PORTS) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            text.value(antiphon.Text("slow"))
            text.value(antiphon.Text("stale"))
            self.assertTrue(at_work.wait(10))
            run.fence(1)
            self.assertEqual(run.event("acknowledged"), {"session": 1 << 32 | 1, "epoch": 1, "node": 1})
            text.value(antiphon.Text("late"))
            text.value(antiphon.Text("new"), epoch=2)
            self.assertEqual(loud.record().content, BEGAN)
            record = loud.record()
            self.assertEqual((record.value.string, record.epoch), ("NEW", 2))
            # All four came back: two taken, one fenced, one late.
            text.take_credit(4)

    def test_a_sender_without_credit_is_freed(self):
        with Run(Shout, **PORTS, depth=1) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            for _ in range(2):
                text.value(antiphon.Text("x"))
                text.take_credit(1)
            self.assertEqual([loud.record().content for _ in range(2)], [BEGAN, VALUE])
            run.fence(1)
            run.event("acknowledged")
            text.value(antiphon.Text("new"), epoch=2)
            loud.credit(1)
            self.assertEqual(loud.record().value.string, "NEW")

    def test_a_fence_for_a_session_that_is_yet_to_come_holds(self):
        with Run(Shout, **PORTS) as run:
            run.fence(3)
            run.event("acknowledged")
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            text.value(antiphon.Text("stale"), epoch=3)
            text.value(antiphon.Text("new"), epoch=4)
            self.assertEqual([loud.record().content, loud.record().value.string], [BEGAN, "NEW"])


class RefusalTests(unittest.TestCase):
    def setUp(self):
        # What a node that fails says on standard error is not for those who read the tests' results.
        silence = unittest.mock.patch("traceback.print_exc")
        silence.start()
        self.addCleanup(silence.stop)

    def test_strangers_are_refused(self):
        with Run(Shout, **PORTS, start=False) as run:
            text = run.inputs["text"]
            for other, reason in (
                ({"token": "guessed"}, "does not belong"),
                ({"graph": "other"}, "another graph"),
                ({"schema": 1}, "carries text"),
                ({"edge": 7}, "the address of"),
                ({"part": "ears"}, "comes from part main"),
            ):
                answer = text.hello(run, **other)
                self.assertIsInstance(answer, wire.Refuse)
                self.assertIn(reason, answer.reason)
            text.value(antiphon.Text("unasked"))
            self.assertEqual(text.answer(), wire.WhoIsThere())
            text.greet(run)

    def test_malformed_messages_break_the_edge_by_name(self):
        for bad in (b"nonsense", wire.preamble(wire.DATA) + b"x" * 24, wire.Credit(3).encode()):
            with Run(Shout, **PORTS) as run:
                text = run.inputs["text"]
                text.socket.send(bad)
                answer = text.answer()
                self.assertIsInstance(answer, wire.Refuse)
                self.assertIn("malformed", answer.reason)
                self.assertEqual(run.event("edgeBroken")["edge"], 0)
                text.greet(run)

    def test_more_than_the_credit_and_lost_messages_are_noticed(self):
        class Stuck(Shout):
            def on_text(self, text, turn):
                while not self.stopping:
                    time.sleep(0.005)

        with Run(Stuck, **PORTS, depth=2) as run:
            text = run.inputs["text"]
            text.mark(BEGAN)
            for _ in range(5):
                text.value(antiphon.Text("x"))
            self.assertIn("credit", run.event("edgeBroken")["reason"])
            text.greet(run)
            text.number = 3
            text.mark(BEGAN)
            self.assertIn("lost some", run.event("edgeBroken")["reason"])

    def test_a_graph_that_does_not_fit_the_program_fails_by_name(self):
        for ports, reason in (
            ({"inputs": {"speech": "text"}}, "input 'speech'.*inputs are: text"),
            ({"inputs": {"text": "control"}}, "text is not control|control is not text"),
            ({"outputs": {"loud": "text"}}, "input 'text' .text. is not connected"),
        ):
            with Run(Shout, **ports, start=False) as run:
                self.assertRegex(run.event("nodeFailed")["reason"], reason)
                run.join()
                self.assertEqual(run.status, [1])

    def test_a_fault_of_the_node_is_named(self):
        class Faulty(Shout):
            def on_text(self, text, turn):
                raise KeyError("voice")

        with Run(Faulty, **PORTS) as run:
            run.inputs["text"].mark(BEGAN)
            run.inputs["text"].value(antiphon.Text("x"))
            self.assertRegex(run.event("nodeFailed")["reason"], r"KeyError: 'voice' \(test_node.py:[0-9]+\)")

    def test_a_value_of_another_type_than_the_edge_carries_is_not_sent(self):
        class Wrong(Shout):
            def on_text(self, text, turn):
                self.loud.send(antiphon.Control("x"))

        with Run(Wrong, **PORTS) as run:
            run.inputs["text"].mark(BEGAN)
            run.inputs["text"].value(antiphon.Text("x"))
            self.assertRegex(run.event("nodeFailed")["reason"], "port loud carries text, not control")


class LifeTests(unittest.TestCase):
    def test_stopping_ends_a_node_that_waits(self):
        with Run(Shout, **PORTS) as run:
            run.command("stop")
            run.event("finished")
            run.join()
            self.assertEqual(run.status, [0])

    def test_a_receiver_that_is_started_anew_is_greeted(self):
        with Run(Shout, **PORTS) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.mark(BEGAN)
            self.assertEqual(loud.record().content, BEGAN)
            run.command("peerRestarted", part=0)
            loud.peer, loud.number = None, 0
            loud.welcome(run)
            self.assertEqual(loud.record().content, BEGAN)
            text.value(antiphon.Text("again"))
            self.assertEqual(loud.record().value.string, "AGAIN")

    def test_an_answer_to_an_earlier_greeting_grants_nothing(self):
        with Run(Shout, **PORTS, start=False) as run:
            text, loud = run.inputs["text"], run.outputs["loud"]
            text.greet(run)
            hellos = []
            while len(hellos) < 2:
                peer, data = loud.socket.recv_multipart()
                reader = wire.Reader(data)
                reader.preamble()
                hellos.append(wire.Hello.decode(reader).attempt)
            self.assertEqual(hellos, [1, 2])
            loud.socket.send_multipart([peer, wire.Welcome(1, 4).encode()])
            run.command("start", begun={}, open=[])
            text.mark(BEGAN)
            self.assertTrue(loud.quiet())
            loud.socket.send_multipart([peer, wire.Welcome(2, 4).encode()])
            self.assertEqual(loud.record().content, BEGAN)

    def test_a_source_opens_sessions_and_turns(self):
        class Source(antiphon.Node):
            loud = antiphon.Output(antiphon.Text)

            def run(self):
                for name in ("old", "new"):
                    session = self.begin_session(name)
                    if session is None:
                        continue
                    turn = self.begin_turn(session)
                    self.loud.send(antiphon.Text(name), turn=turn, time=5)
                    self.end_turn(turn)
                    self.end_session(session)

        with Run(Source, outputs={"loud": "text"}, start=False) as run:
            run.connect()
            run.event("nodeReady")
            run.command("start", begun={"1": ["old"]}, open=[2 << 32 | 1])
            found = [run.outputs["loud"].record() for _ in range(7)]
            self.assertEqual([r.content for r in found], [BEGAN, ENDED, BEGAN, VALUE, TURN_ENDED, ENDED, CLOSED])
            self.assertEqual([r.session & 0xFF for r in found], [1, 1, 2, 2, 2, 2, 0])
            self.assertEqual(run.event("sessionBegan")["name"], "new")
            self.assertEqual(run.event("turnBegan")["epoch"], 1)
            run.finish()

    def test_what_a_node_says_reaches_the_coordinator(self):
        class Talker(Shout):
            def on_text(self, text, turn):
                self.progress("thinking", 0.5)
                self.log("hm")
                self.interrupt(turn.session, "because")
                self.fail(turn, "no idea")

            def on_session_ended(self, session):
                self.print(session.name)

        with Run(Talker, **PORTS) as run:
            text = run.inputs["text"]
            text.mark(BEGAN)
            text.value(antiphon.Text("x"))
            text.mark(ENDED)
            self.assertEqual(run.event("progress"), {"what": "thinking", "fraction": 0.5, "node": 1})
            self.assertEqual(run.event("log"), {"text": "hm", "node": 1})
            self.assertEqual(run.event("interrupt"), {"session": 1 << 32 | 1, "reason": "because"})
            self.assertEqual(run.event("turnFailed")["reason"], "no idea")
            self.assertEqual(run.event("print")["text"], "kitchen")

    def test_nothing_is_lost_on_a_coordinator_that_takes_its_time(self):
        lines = 20_000

        class Talker(Shout):
            def on_session_ended(self, session):
                for number in range(lines):
                    self.print(f"{number} " + "x" * 500)

        with Run(Talker, **PORTS) as run:
            text = run.inputs["text"]
            text.mark(BEGAN)
            text.mark(ENDED)
            # More than the connection, and the node's own process, have room for.
            first = run.event("print")["text"]
            time.sleep(1)
            found = [first] + [run.event("print")["text"] for _ in range(lines - 1)]
            self.assertEqual([int(line.split()[0]) for line in found], list(range(lines)))


if __name__ == "__main__":
    unittest.main()

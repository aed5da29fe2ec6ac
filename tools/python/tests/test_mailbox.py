import threading
import unittest

import antiphon
from antiphon import PortType, wire
from antiphon.mailbox import Edge, Envelope, Mailbox, Overflow, Stopped
from antiphon.outbound import EdgeFull, EdgeRefused, OutboundEdge
from antiphon.session import Session, Turn


def edge(port="text", depth=2, policy="block", **more):
    type = PortType("text")
    return Edge(0, f"a.x -> b.{port}", port, type, type.schema, "inproc://none", depth, policy, **more)


def value(turn, text="x", time=0):
    return Envelope(wire.VALUE, turn, antiphon.Text(text), time=time)


class MailboxTests(unittest.TestCase):
    def setUp(self):
        self.session = Session(1 << 32 | 1, "a")
        self.turn = Turn(self.session, 1)
        self.taken, self.passed, self.acknowledged = [], [], []

    def mailbox(self, *edges, **more):
        return Mailbox(
            list(edges),
            taken=lambda lane, count: self.taken.append(lane),
            passed=lambda content, turn: self.passed.append((content, turn.epoch)),
            acknowledge=lambda turn: self.acknowledged.append(turn.epoch),
            **more,
        )

    def test_values_come_in_order_and_make_room(self):
        box = self.mailbox(edge())
        box.deliver(value(self.turn, "one"), 0)
        box.deliver(value(self.turn, "two"), 0)
        with self.assertRaises(Overflow):
            box.deliver(value(self.turn, "three"), 0)
        self.assertEqual(box.next().value.string, "one")
        self.assertEqual(self.taken, [0])
        self.assertEqual(box.next().value.string, "two")

    def test_marks_are_passed_on_behind_what_the_node_does_for_them(self):
        box = self.mailbox(edge())
        box.deliver(Envelope(wire.SESSION_BEGAN, Turn(self.session, 0)), 0)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 0)
        box.deliver(Envelope(wire.SESSION_ENDED, Turn(self.session, 0)), 0)
        box.set_closed(0, True)
        self.assertIsInstance(box.next(), antiphon.SessionBegan)
        self.assertEqual(self.passed, [(wire.SESSION_BEGAN, 0)])
        self.assertEqual(box.next(), antiphon.TurnEnded(self.turn))
        self.assertEqual(len(self.passed), 1)
        self.assertIsInstance(box.next(), antiphon.SessionEnded)
        self.assertEqual(self.passed[1:], [(wire.TURN_ENDED, 1)])
        self.assertIsNone(box.next())
        self.assertEqual(self.passed[2:], [(wire.SESSION_ENDED, 0)])

    def test_a_mark_waits_for_all_inputs_that_carry_it(self):
        box = self.mailbox(
            edge("a", sources=(0,)), edge("b", sources=(0, 1)), edge("c", is_feedback=True), edge("d", sources=(1,))
        )
        for lane in (0, 1):
            box.deliver(Envelope(wire.SESSION_BEGAN, Turn(self.session, 0)), lane)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 0)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 2)
        box.deliver(value(self.turn), 1)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 1)
        self.assertIsInstance(box.next(), antiphon.SessionBegan)
        self.assertEqual(box.next().port, "b")
        self.assertEqual(box.next(), antiphon.TurnEnded(self.turn))

    def test_an_interruption_drops_what_is_stale_and_is_acknowledged(self):
        box = self.mailbox(edge())
        box.deliver(value(self.turn), 0)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 0)
        self.session.raise_watermark(2)
        self.assertEqual(box.fence(self.turn), [1])
        box.deliver(value(Turn(self.session, 2), "new"), 0)
        self.assertEqual(box.deliver(value(self.turn), 0), 1)
        self.assertEqual(box.next(), antiphon.TurnInterrupted(self.turn))
        self.assertEqual(self.acknowledged, [])
        self.assertEqual(box.next().value.string, "new")
        self.assertEqual(self.acknowledged, [1])
        self.assertEqual(self.passed, [])

    def test_policies_that_drop_lose_the_oldest_values_and_no_marks(self):
        for policy, kept in (("drop-oldest", ["two", "three"]), ("latest", ["three"])):
            box = self.mailbox(edge(policy=policy))
            lost = box.deliver(value(self.turn, "one"), 0)
            box.deliver(Envelope(wire.SESSION_BEGAN, Turn(self.session, 0)), 0)
            lost += box.deliver(value(self.turn, "two"), 0) + box.deliver(value(self.turn, "three"), 0)
            box.set_closed(0, True)
            events = list(iter(box.next, None))
            self.assertEqual([e.value.string for e in events if isinstance(e, antiphon.Received)], kept)
            self.assertTrue(any(isinstance(e, antiphon.SessionBegan) for e in events))
            self.assertEqual(lost, 3 - len(kept))

    def test_stopping_wakes_a_node_that_waits(self):
        box = self.mailbox(edge())
        threading.Timer(0.05, box.stop).start()
        with self.assertRaises(Stopped):
            box.next()

    def test_a_node_that_ends_turns_itself_passes_nothing_on(self):
        box = self.mailbox(edge(), follows=False)
        box.deliver(Envelope(wire.TURN_ENDED, self.turn), 0)
        box.set_closed(0, True)
        self.assertEqual(len(list(iter(box.next, None))), 1)
        self.assertEqual(self.passed, [])


class OutboundTests(unittest.TestCase):
    def setUp(self):
        self.session = Session(1, "a")
        self.turn = Turn(self.session, 1)

    def outbound(self, **more):
        return OutboundEdge(edge(**more), wake=lambda: None)

    def drain(self, end):
        return list(iter(end.next, None))

    def test_nothing_leaves_before_the_welcome_nor_without_credit(self):
        end = self.outbound(depth=2)
        end.mark(wire.SESSION_BEGAN, Turn(self.session, 0))
        self.assertEqual(self.drain(end), [])
        end.welcome(2)
        self.assertTrue(end.send(value(self.turn)))
        self.assertTrue(end.send(value(self.turn)))
        self.assertEqual([r.content for r in self.drain(end)], [wire.SESSION_BEGAN, wire.VALUE, wire.VALUE])
        sent = []
        sender = threading.Thread(target=lambda: sent.append(end.send(value(self.turn, "third"))))
        sender.start()
        end.credit(1)
        sender.join()
        self.assertEqual(sent, [True])
        self.assertEqual([r.value.string for r in self.drain(end)], ["third"])

    def test_an_interruption_frees_a_sender_that_waits(self):
        end = self.outbound()
        sent = []
        sender = threading.Thread(target=lambda: sent.append(end.send(value(self.turn))))
        sender.start()
        self.session.raise_watermark(2)
        end.fence()
        sender.join()
        self.assertEqual(sent, [False])
        self.assertEqual(end.stale, 1)

    def test_full_and_refused_edges_say_so(self):
        end = self.outbound(policy="fail", depth=1)
        end.welcome(1)
        end.send(value(self.turn))
        with self.assertRaisesRegex(EdgeFull, "depth 1"):
            end.send(value(self.turn))
        end.refuse("wrong graph")
        with self.assertRaisesRegex(EdgeRefused, "wrong graph"):
            end.send(value(self.turn))

    def test_a_receiver_that_is_started_anew_hears_of_the_sessions_again(self):
        end = self.outbound()
        end.welcome(2)
        end.mark(wire.SESSION_BEGAN, Turn(self.session, 0))
        end.mark(wire.SESSION_ENDED, Turn(self.session, 0))
        end.close()
        first = [r.content for r in self.drain(end)]
        self.assertEqual(first, [wire.SESSION_BEGAN, wire.SESSION_ENDED, wire.CLOSED])
        end.greet_again()
        self.assertFalse(end.drained)
        end.welcome(2)
        self.assertEqual([r.content for r in self.drain(end)], first)
        end.forget(self.session.id)
        end.greet_again()
        end.welcome(2)
        self.assertEqual([r.content for r in self.drain(end)], [wire.CLOSED])

    def test_policies_that_drop_never_wait(self):
        end = self.outbound(policy="latest")
        for text in ("one", "two"):
            self.assertTrue(end.send(value(self.turn, text)))
        end.welcome(2)
        self.assertEqual([r.value.string for r in self.drain(end)], ["two"])
        self.assertEqual(end.dropped, 1)


if __name__ == "__main__":
    unittest.main()

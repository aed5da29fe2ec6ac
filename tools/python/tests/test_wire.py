import json
import random
import unittest

import numpy

import antiphon
from antiphon import messages, wire
from antiphon.assignment import Assignment
from antiphon.records import DataWriter, Record, read_data
from tests import vectors

INCARNATION = 0x1122334455667788
SESSION = 1 << 32 | 1
TEXT = antiphon.PortType("text")
HELLO = wire.Hello(
    edge=3, attempt=1, incarnation=INCARNATION, schema=TEXT.schema, token="3w5e11264sgs", graph="28a792a112097876",
    type="text", part="main", seed=7, threads=2, kernels="avx2, 2 threads",
)
TURN = [
    Record(wire.SESSION_BEGAN, SESSION, schema=TEXT.schema, name="kitchen"),
    Record(
        wire.VALUE, SESSION, 1, 5, 1_500_000_000, 0x0001000000000001, TEXT.schema, value=antiphon.Text("Good morning.")
    ),
    Record(wire.VALUE, SESSION, 1, 6, -1, 0, TEXT.schema, value=antiphon.Text("Grüße, 你好 🎧")),
    Record(wire.TURN_ENDED, SESSION, 1, schema=TEXT.schema),
    Record(wire.SESSION_ENDED, SESSION, schema=TEXT.schema),
    Record(wire.CLOSED),
]
VALUES = {
    "data-audio-inline": antiphon.AudioChunk(numpy.array([[0, -1], [0.5, 1], [-0.25, 0.125]]), 48000),
    "data-audio-frame": antiphon.AudioChunk(numpy.arange(320) / 512, 16000),
    "data-features": antiphon.Features(numpy.array([[1, 2, 3], [4, 5, 6]])),
    "data-tokens": antiphon.Tokens(numpy.array([1, 50256, -1]), "smollm2"),
    "data-image": antiphon.ImageFrame(numpy.arange(12).reshape(2, 2, 3)),
    "data-codes": antiphon.AudioCodes(numpy.array([[7, 0, 4095], [1, 2, 3]]), 4096),
    "data-control": antiphon.Control("speech", "started"),
    "data-detection": antiphon.Detection(antiphon.Detection.COMMAND, "stop", 1_200_000_000, 1_500_000_000, 0.75),
    "data-playhead": antiphon.Playhead(16_000, 24_000, underruns=1),
    "data-answer-state": antiphon.AnswerState(antiphon.AnswerState.CUT, 1, 1_500_000_000, "Good"),
    "data-said": antiphon.Said((("Good", 300_000_000), (" morning.", 700_000_000)), replacing=True),
}


def same(a, b):
    return type(a) is type(b) and all(numpy.array_equal(getattr(a, key), getattr(b, key)) for key in vars(a))


def write(records):
    writer = DataWriter(3, INCARNATION, 2)
    for record in records:
        writer.append(record)
    return writer.frames


def read(frames, type):
    reader = wire.Reader(frames[0])
    if reader.preamble() != wire.DATA:
        raise wire.WireError("no data")
    return read_data(reader, frames[1:], type)


class VectorTests(unittest.TestCase):
    def test_greetings_and_answers(self):
        self.assertEqual(vectors.read("hello"), [HELLO.encode()])
        reader = wire.Reader(HELLO.encode())
        self.assertEqual(reader.preamble(), wire.HELLO)
        self.assertEqual(wire.Hello.decode(reader), HELLO)
        for name, answer in (
            ("welcome", wire.Welcome(1, 16)),
            ("refuse", wire.Refuse("main runs another graph")),
            ("credit", wire.Credit(4)),
            ("who-is-there", wire.WhoIsThere()),
        ):
            self.assertEqual(vectors.read(name), [answer.encode()])
            self.assertEqual(wire.read_answer(vectors.read(name)[0]), answer)

    def test_a_whole_session(self):
        frames = vectors.read("data-turn")
        self.assertEqual(write(TURN), frames)
        message = read(frames, antiphon.Text)
        self.assertEqual((message.edge, message.incarnation, message.number), (3, INCARNATION, 2))
        self.assertEqual(message.records, TURN)

    def test_a_value_of_each_type(self):
        for name, value in VALUES.items():
            with self.subTest(name):
                schema = value.type.schema
                record = Record(wire.VALUE, SESSION, 1, 5, 1_500_000_000, 0x0001000000000001, schema, value=value)
                self.assertEqual(write([record]), vectors.read(name))
                (found,) = read(vectors.read(name), type(value)).records
                self.assertTrue(same(found.value, value))
                self.assertEqual(found.schema, schema)

    def test_control_messages(self):
        kinds = {"join": wire.JOIN, "accept": wire.ACCEPT, "event": wire.EVENT, "command": wire.COMMAND}
        for name in vectors.names():
            kind = kinds.get(name.partition("-")[0])
            if kind:
                (data,) = vectors.read(name)
                found, body = wire.read_control(data)
                self.assertEqual(found, kind)
                self.assertEqual(body, json.loads(data[8:]))
                self.assertEqual(wire.read_control(wire.control(kind, body)), (kind, body))
        self.assertEqual(wire.control(wire.ALIVE), vectors.read("alive")[0])

    def test_the_assignment_is_understood(self):
        _, body = wire.read_control(vectors.read("accept")[0])
        assignment = Assignment.read(body["assignment"])
        self.assertEqual((assignment.name, assignment.seed, assignment.parameters), ("shout", 7, {"marks": 3}))
        self.assertEqual([edge.port for edge in assignment.outputs], ["loud"])
        self.assertEqual(assignment.inputs[0].schema, assignment.inputs[0].type.schema)

    def test_every_vector_is_known(self):
        known = {"hello", "welcome", "refuse", "credit", "who-is-there", "data-turn", "alive", *VALUES}
        prefixes = ("join", "accept", "event-", "command-")
        self.assertEqual([n for n in vectors.names() if n not in known and not n.startswith(prefixes)], [])


class RefusalTests(unittest.TestCase):
    def test_another_major_version_is_named(self):
        data = bytearray(wire.Welcome(1, 16).encode())
        data[4] = 2
        with self.assertRaisesRegex(wire.WireError, "version 2"):
            wire.read_answer(data)

    def test_a_later_minor_version_may_say_more(self):
        data = bytearray(wire.Welcome(1, 16).encode()) + b"more"
        data[5] = 9
        self.assertEqual(wire.read_answer(data), wire.Welcome(1, 16))

    def test_numbers_that_promise_too_much(self):
        frames = vectors.read("data-audio-inline")
        for offset in range(8, len(frames[0]) - 4, 4):
            for word in (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 24, 0):
                self.attempt([frames[0][:offset] + word.to_bytes(4, "little") + frames[0][offset + 4 :]])

    def test_truncations_and_changed_bytes(self):
        generator = random.Random(1)
        for name in vectors.names():
            frames = vectors.read(name)
            for count in range(0, len(frames[0]), 3):
                self.attempt([frames[0][:count]] + frames[1:])
            for _ in range(150):
                head = bytearray(frames[0])
                for _ in range(generator.randrange(1, 4)):
                    head[generator.randrange(len(head))] = generator.randrange(256)
                self.attempt([bytes(head)] + frames[1:])

    def test_random_bytes(self):
        generator = random.Random(2)
        kinds = sorted(wire.KINDS)
        for _ in range(1500):
            body = generator.randbytes(generator.randrange(300))
            self.attempt([wire.preamble(generator.choice(kinds)) + body, generator.randbytes(16)])

    def test_values_that_a_type_refuses(self):
        detection, playhead = VALUES["data-detection"], VALUES["data-playhead"]
        answer, said = VALUES["data-answer-state"], VALUES["data-said"]
        for value, changes in (
            (detection, {"kind": 0}), (detection, {"kind": 3}), (detection, {"start": -1}),
            (detection, {"end": detection.start - 1}), (detection, {"score": 1.5}), (detection, {"score": float("nan")}),
            (playhead, {"frames": 1 << 48}), (playhead, {"rate": 0}), (playhead, {"rate": 1_000_001}),
            (answer, {"phase": 0}), (answer, {"phase": 5}), (answer, {"played": -1}), (said, {"replacing": 2}),
        ):
            with self.subTest(f"{value.type_name} {changes}"):
                # Past the constructor, as a peer may that does not check what it sends.
                wrong = object.__new__(type(value))
                wrong.__dict__.update({**vars(value), **changes})
                frames = write([Record(wire.VALUE, SESSION, 1, schema=value.type.schema, value=wrong)])
                with self.assertRaises(wire.WireError):
                    read(frames, type(value))
                if value is not said:
                    with self.assertRaises(ValueError):
                        type(value)(**{**vars(value), **changes})

    def test_pieces_that_are_promised_and_not_there(self):
        frames = vectors.read("data-said")
        start = frames[0].index(b"Good") - 4 - 8 - 4
        for count in (1, 3, 0xFFFFFFFF):
            head = frames[0][:start] + count.to_bytes(4, "little") + frames[0][start + 4 :]
            with self.assertRaises(wire.WireError):
                read([head] + frames[1:], antiphon.Said)

    def test_deeply_nested_json(self):
        for text in ("[" * 200_000, '{"stop":' * 50_000):
            self.attempt([wire.preamble(wire.COMMAND) + text.encode()])

    def attempt(self, frames):
        """Reads a message as all that it could be: anything but WireError is a failure."""

        def hello():
            reader = wire.Reader(frames[0])
            reader.preamble()
            return wire.Hello.decode(reader)

        reads = [lambda: wire.read_answer(frames[0]), lambda: wire.read_control(frames[0]), hello]
        reads += [lambda type=type: read(frames, type) for type in messages.TYPES.values()]
        for attempt in reads:
            try:
                attempt()
            except wire.WireError:
                pass


class TypeTests(unittest.TestCase):
    def test_types_are_spelled_canonically(self):
        self.assertEqual(str(antiphon.PortType.parse(" audio[rate=24000,channels=1] ")), "audio[channels=1, rate=24000]")
        for text in ("", "audio[", "audio[rate]", "audio[rate=1, rate=2]", "Audio", "audio[rate=1]x", "a[b=c]]"):
            with self.assertRaises(ValueError, msg=text):
                antiphon.PortType.parse(text)

    def test_what_is_open_agrees_with_anything(self):
        given, wanted = antiphon.PortType.parse("audio[rate=24000]"), antiphon.PortType.parse("audio[channels=1]")
        self.assertIsNone(given.mismatch(wanted))
        self.assertIn("rate", given.mismatch(antiphon.PortType.parse("audio[rate=16000]")))
        self.assertIn("text", given.mismatch(TEXT))


if __name__ == "__main__":
    unittest.main()

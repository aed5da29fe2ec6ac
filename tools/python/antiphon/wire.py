"""The bytes of Antiphon's wire format, which docs/wire-format.md describes. All of it is little-endian.

Reading trusts nothing: every length is checked against what is there before anything is made of it, and whatever is
not what the format says raises WireError.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, Optional, Tuple, Union

MAJOR, MINOR = 1, 0
MAGIC = b"APHN"

HELLO, WELCOME, REFUSE, DATA, CREDIT, WHO_IS_THERE = 1, 2, 3, 4, 5, 6
JOIN, ACCEPT, EVENT, COMMAND, ALIVE = 16, 17, 18, 19, 20
KINDS = frozenset([HELLO, WELCOME, REFUSE, DATA, CREDIT, WHO_IS_THERE, JOIN, ACCEPT, EVENT, COMMAND, ALIVE])

VALUE, TURN_ENDED, SESSION_BEGAN, SESSION_ENDED, CLOSED = 0, 1, 2, 3, 4

INLINE_LIMIT = 1024
BATCH_RECORDS, BATCH_BYTES, BATCH_FRAMES = 256, 64 << 10, 16
MAX_RANK, MAX_BUFFERS, MAX_RECORDS, MAX_TEXT = 8, 64, 4096, 4096
# Routing id, first frame, what was there before the batch was full, and the last record's buffers.
MAX_FRAMES = 2 + (BATCH_FRAMES - 1) + MAX_BUFFERS
MAX_FRAME = 1 << 30
MAX_CONTROL = 16 << 20


class WireError(ValueError):
    """Bytes from the wire that are not what the format says."""


class Writer:
    """Appends little-endian values."""

    def __init__(self):
        self.bytes = bytearray()

    def put(self, layout: str, *values: int) -> None:
        self.bytes += struct.pack("<" + layout, *values)

    def text(self, text: str) -> None:
        data = text.encode()
        self.put("I", len(data))
        self.bytes += data

    def pad(self) -> None:
        self.bytes += bytes(-len(self.bytes) % 8)


class Reader:
    """Takes little-endian values off."""

    def __init__(self, data: Any):
        self.data = memoryview(data).cast("B") if not isinstance(data, memoryview) else data
        self.offset = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.offset

    def _advance(self, count: int, what: str) -> int:
        if count > self.remaining:
            raise WireError(f"the message ends within {what}")
        start = self.offset
        self.offset += count
        return start

    def take(self, layout: str) -> Tuple:
        layout = "<" + layout
        return struct.unpack_from(layout, self.data, self._advance(struct.calcsize(layout), "a number"))

    def text(self, limit: int = MAX_TEXT) -> str:
        (length,) = self.take("I")
        if length > limit:
            raise WireError(f"a text of {length} bytes is too long")
        try:
            return str(self.raw(length), "utf-8")
        except UnicodeDecodeError:
            raise WireError("a text is not UTF-8") from None

    def raw(self, count: int) -> memoryview:
        start = self._advance(count, f"{count} bytes")
        return self.data[start : start + count]

    def skip(self) -> None:
        self._advance(-self.offset % 8, "padding")

    def preamble(self) -> int:
        """The kind of the message."""
        magic, major, _, kind, _ = self.take("4sBBBB")
        if magic != MAGIC:
            raise WireError("the message does not start with APHN")
        if major != MAJOR:
            raise WireError(
                f"the peer speaks version {major} of the wire format, this process version {MAJOR}; "
                "run the same release of Antiphon on both sides"
            )
        if kind not in KINDS:
            raise WireError(f"message kind {kind} is unknown")
        return kind


def preamble(kind: int) -> bytes:
    return MAGIC + bytes([MAJOR, MINOR, kind, 0])


# What the ends of an edge say before and beside the data.


@dataclass
class Hello:
    """What the sender of an edge says first."""

    edge: int
    attempt: int
    incarnation: int
    schema: int
    token: str
    graph: str
    type: str
    part: str
    seed: int = 0
    threads: int = 1
    kernels: str = ""

    def encode(self) -> bytes:
        writer = Writer()
        writer.bytes += preamble(HELLO)
        writer.put("IIQQQI", self.edge, self.attempt, self.incarnation, self.schema, self.seed, self.threads)
        for text in (self.token, self.graph, self.type, self.part, self.kernels):
            writer.text(text)
        return bytes(writer.bytes)

    @classmethod
    def decode(cls, reader: Reader) -> "Hello":
        """Reads what stands behind the preamble."""
        edge, attempt, incarnation, schema, seed, threads = reader.take("IIQQQI")
        token, graph, type, part, kernels = (reader.text() for _ in range(5))
        return cls(edge, attempt, incarnation, schema, token, graph, type, part, seed, threads, kernels)


@dataclass
class Welcome:
    attempt: int
    credits: int

    def encode(self) -> bytes:
        return preamble(WELCOME) + struct.pack("<II", self.attempt, self.credits)


@dataclass
class Refuse:
    reason: str

    def encode(self) -> bytes:
        writer = Writer()
        writer.bytes += preamble(REFUSE)
        writer.text(self.reason)
        return bytes(writer.bytes)


@dataclass
class Credit:
    count: int

    def encode(self) -> bytes:
        return preamble(CREDIT) + struct.pack("<I", self.count)


@dataclass
class WhoIsThere:
    def encode(self) -> bytes:
        return preamble(WHO_IS_THERE)


def read_answer(data: Any) -> Union[Welcome, Refuse, Credit, WhoIsThere]:
    """Reads a message from the receiver of an edge."""
    reader = Reader(data)
    kind = reader.preamble()
    if kind == WELCOME:
        return Welcome(*reader.take("II"))
    if kind == REFUSE:
        return Refuse(reader.text())
    if kind == CREDIT:
        return Credit(*reader.take("I"))
    if kind == WHO_IS_THERE:
        return WhoIsThere()
    raise WireError("a receiver sent what only senders do")


# Control: JSON behind a preamble.


def control(kind: int, body: Optional[Any] = None) -> bytes:
    if body is None:
        return preamble(kind)
    return preamble(kind) + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def read_control(data: Any) -> Tuple[int, Any]:
    """The kind of a control message and what its JSON says; None where there is none."""
    reader = Reader(data)
    kind = reader.preamble()
    if not reader.remaining:
        return kind, None
    try:
        return kind, json.loads(bytes(reader.raw(reader.remaining)).decode())
    except (ValueError, RecursionError):
        raise WireError("a control message is not JSON") from None

"""The bytes of Antiphon's wire format, which docs/wire-format.md describes. All of it is little-endian.

Reading trusts nothing: every length is checked against what is there before anything is made of it, and whatever is
not what the format says raises WireError.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any, List, Optional, Sequence, Tuple, Type, Union

import numpy

MAJOR, MINOR = 1, 0
MAGIC = b"APHN"

HELLO, WELCOME, REFUSE, DATA, CREDIT, WHO_IS_THERE = 1, 2, 3, 4, 5, 6
JOIN, ACCEPT, EVENT, COMMAND, ALIVE = 16, 17, 18, 19, 20
KINDS = frozenset([HELLO, WELCOME, REFUSE, DATA, CREDIT, WHO_IS_THERE, JOIN, ACCEPT, EVENT, COMMAND, ALIVE])

VALUE, TURN_ENDED, SESSION_BEGAN, SESSION_ENDED, CLOSED = 0, 1, 2, 3, 4

INLINE_LIMIT = 1024
BATCH_RECORDS, BATCH_BYTES, BATCH_FRAMES = 256, 64 << 10, 16
MAX_RANK, MAX_BUFFERS, MAX_RECORDS, MAX_TEXT, MAX_FRAMES = 8, 64, 4096, 4096, 32
MAX_FRAME = 1 << 30
MAX_CONTROL = 16 << 20

# Element types by their number. bfloat16 has no numpy type and shows as its 16 bits.
ELEMENTS = {1: numpy.dtype("u1"), 2: numpy.dtype("<i2"), 3: numpy.dtype("<i4"), 4: numpy.dtype("<f4"), 5: numpy.dtype("<u2")}
ELEMENT_NUMBERS = {ELEMENTS[number]: number for number in (1, 2, 3, 4)}


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


# Data.


@dataclass
class Record:
    """A value or a mark, with all that travels beside it."""

    content: int
    session: int = 0
    epoch: int = 0
    sequence: int = 0
    time: int = 0
    trace: int = 0
    schema: int = 0
    name: str = ""
    value: Any = None


class Encoder:
    """Takes a message apart into fields and arrays."""

    def __init__(self):
        self.fields = Writer()
        self.arrays: List[numpy.ndarray] = []


class Decoder:
    """Puts a message together again."""

    def __init__(self, fields: memoryview, arrays: Sequence[Tuple[int, numpy.ndarray]]):
        self.fields = Reader(fields)
        self._arrays = list(arrays)

    def text(self) -> str:
        return self.fields.text(limit=MAX_FRAME)

    def array(self, number: int, rank: int) -> numpy.ndarray:
        """The next array, which must have that element type and rank."""
        if not self._arrays:
            raise WireError("a buffer is missing")
        found, array = self._arrays.pop(0)
        if found != number or array.ndim != rank:
            raise WireError(f"a buffer holds type {found} of rank {array.ndim}, not {number} of rank {rank}")
        return array

    def finish(self) -> None:
        if self.fields.remaining or self._arrays:
            raise WireError("there is more than the type defines")


class DataWriter:
    """Writes records into one data message: a header, a record each, and frames for large arrays."""

    def __init__(self, edge: int, incarnation: int, number: int):
        self._writer = Writer()
        self._writer.bytes += preamble(DATA)
        self._writer.put("IIQQ", edge, 0, incarnation, number)
        self._records = 0
        self._frames: List[bytes] = []

    @property
    def empty(self) -> bool:
        return self._records == 0

    @property
    def full(self) -> bool:
        return (
            self._records >= BATCH_RECORDS
            or len(self._writer.bytes) >= BATCH_BYTES
            or len(self._frames) >= BATCH_FRAMES
        )

    @property
    def frames(self) -> List[bytes]:
        """The whole message."""
        struct.pack_into("<I", self._writer.bytes, 12, self._records)
        return [bytes(self._writer.bytes)] + self._frames

    def append(self, record: Record) -> None:
        encoder = Encoder()
        if record.content == VALUE:
            record.value.encode(encoder)
        elif record.content == SESSION_BEGAN:
            encoder.fields.text(record.name)
        writer, fields = self._writer, encoder.fields.bytes
        start = len(writer.bytes)
        writer.put("IBBHQII", 0, record.content, len(encoder.arrays), 0, record.session, record.epoch, len(fields))
        writer.put("QqQQ", record.sequence, record.time, record.trace, record.schema)
        for array in encoder.arrays:
            placement = 0 if array.nbytes <= INLINE_LIMIT else 1
            writer.put("BBB5xQ", ELEMENT_NUMBERS[array.dtype], array.ndim, placement, array.nbytes)
            writer.put(f"{array.ndim}Q", *array.shape)
        writer.bytes += fields
        writer.pad()
        for array in encoder.arrays:
            if array.nbytes <= INLINE_LIMIT:
                writer.bytes += array.tobytes()
                writer.pad()
            else:
                self._frames.append(array.tobytes())
        struct.pack_into("<I", writer.bytes, start, len(writer.bytes) - start)
        self._records += 1


@dataclass
class DataMessage:
    edge: int
    incarnation: int
    number: int
    records: List[Record] = field(default_factory=list)


def read_data(reader: Reader, frames: Sequence[Any], type: Type) -> DataMessage:
    """Reads a data message behind its preamble.

    `frames` are the buffers of the payload frames, which the arrays read are views of; `type` is the message class of
    the edge.
    """
    edge, count, incarnation, number = reader.take("IIQQ")
    if count > MAX_RECORDS:
        raise WireError(f"{count} records are too many")
    message = DataMessage(edge, incarnation, number)
    payload = list(frames)
    for _ in range(count):
        message.records.append(_read_record(reader, payload, type))
    if reader.remaining or payload:
        raise WireError("there is more than was announced")
    return message


def _read_record(reader: Reader, frames: List[Any], type: Type) -> Record:
    start = reader.offset
    length, content, buffers, _, session, epoch, fields_length = reader.take("IBBHQII")
    sequence, time, trace, schema = reader.take("QqQQ")
    if content > CLOSED:
        raise WireError("unknown record")
    if buffers > MAX_BUFFERS or (buffers and content != VALUE):
        raise WireError(f"{buffers} buffers in a record")
    headers = [_read_header(reader) for _ in range(buffers)]
    fields = reader.raw(fields_length)
    reader.skip()
    arrays = [_read_array(reader, frames, *header) for header in headers]
    if reader.offset - start != length:
        raise WireError("a record's length is not what it holds")
    record = Record(content, session, epoch, sequence, time, trace, schema)
    if content == VALUE:
        decoder = Decoder(fields, arrays)
        record.value = type.decode(decoder)
        decoder.finish()
    elif content == SESSION_BEGAN:
        record.name = Reader(fields).text()
    return record


def _read_header(reader: Reader) -> Tuple[int, bool, int, Tuple[int, ...]]:
    number, rank, placement, length = reader.take("BBB5xQ")
    if number not in ELEMENTS:
        raise WireError("unknown element type")
    if rank > MAX_RANK or placement > 1:
        raise WireError(f"a buffer of rank {rank}")
    shape = reader.take(f"{rank}Q")
    size = ELEMENTS[number].itemsize
    for extent in shape:
        size *= extent
        if extent >= 1 << 63 or size >= 1 << 63:
            raise WireError("a shape is too large")
    if size != length:
        raise WireError(f"a buffer of {length} bytes does not fit its shape {list(shape)}")
    return number, placement == 0, length, shape


def _read_array(
    reader: Reader, frames: List[Any], number: int, inline: bool, length: int, shape: Tuple[int, ...]
) -> Tuple[int, numpy.ndarray]:
    if inline:
        # A copy, so that a small array does not keep a whole batch in memory.
        data: Any = bytes(reader.raw(length))
        reader.skip()
    elif frames:
        data = frames.pop(0)
        if len(data) != length:
            raise WireError(f"a payload frame has {len(data)} bytes, not {length}")
    else:
        raise WireError("a payload frame is missing")
    try:
        return number, numpy.frombuffer(data, dtype=ELEMENTS[number]).reshape(shape)
    except ValueError as error:
        raise WireError(f"a buffer of shape {list(shape)} cannot be made: {error}") from None


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

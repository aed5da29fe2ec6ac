"""The data messages of the wire format: records, their fields and their arrays."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, List, Sequence, Tuple, Type

import numpy

from .wire import (
    BATCH_BYTES, BATCH_FRAMES, BATCH_RECORDS, CLOSED, DATA, INLINE_LIMIT, MAX_BUFFERS, MAX_FRAME, MAX_RANK, MAX_RECORDS,
    SESSION_BEGAN, VALUE, Reader, WireError, Writer, preamble,
)

# Element types by their number. bfloat16 has no numpy type and shows as its 16 bits.
ELEMENTS = {1: numpy.dtype("u1"), 2: numpy.dtype("<i2"), 3: numpy.dtype("<i4"), 4: numpy.dtype("<f4"), 5: numpy.dtype("<u2")}
ELEMENT_NUMBERS = {ELEMENTS[number]: number for number in (1, 2, 3, 4)}


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

"""The types of message that ports carry, over numpy arrays.

What arrives must not be changed in place: arrays may be views of memory that belongs to the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple, Type

import numpy

from .porttype import PortType
from .records import Decoder, Encoder
from .wire import WireError


def _array(values, dtype: str, rank: int, what: str) -> numpy.ndarray:
    array = numpy.asarray(values)
    # Not ascontiguousarray, which would make an array of rank 1 out of a number.
    array = numpy.require(array, dtype=numpy.dtype(dtype), requirements=["C"])
    if array.ndim != rank:
        raise ValueError(f"{what} must have {rank} dimensions, not {array.ndim}")
    return array


def _checked(cls, *values):
    """A message made of values that a peer sent: what the class refuses is the peer's fault."""
    try:
        return cls(*values)
    except ValueError as error:
        raise WireError(str(error)) from None


class Message:
    """What travels on an edge."""

    type_name = ""

    @property
    def type(self) -> PortType:
        """This value's type with all its particulars."""
        return PortType(self.type_name)

    def encode(self, encoder: Encoder) -> None:
        raise NotImplementedError

    @classmethod
    def decode(cls, decoder: Decoder) -> "Message":
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class AudioChunk(Message):
    """A stretch of sound: float32 samples of shape [frames, channels], full scale at ±1; `rate` in frames per second.

    Samples of shape [frames] are taken as one channel.
    """

    type_name = "audio"
    samples: numpy.ndarray
    rate: int

    def __post_init__(self):
        samples = numpy.asarray(self.samples)
        if samples.ndim == 1:
            samples = samples[:, numpy.newaxis]
        object.__setattr__(self, "samples", _array(samples, "<f4", 2, "samples"))
        if not (1 <= self.rate <= 1_000_000 and 1 <= self.channels <= 256):
            raise ValueError(f"audio of {self.channels} channels at {self.rate} Hz")

    @property
    def frames(self) -> int:
        return self.samples.shape[0]

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    @property
    def duration(self) -> int:
        """Nanoseconds of sound."""
        return self.frames * 1_000_000_000 // self.rate

    @property
    def type(self) -> PortType:
        return PortType(self.type_name, {"rate": self.rate, "channels": self.channels})

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("II", self.rate, self.channels)
        encoder.arrays.append(self.samples)

    @classmethod
    def decode(cls, decoder: Decoder) -> "AudioChunk":
        rate, channels = decoder.fields.take("II")
        samples = decoder.array(4, rank=2)
        if not (1 <= rate <= 1_000_000 and 1 <= channels <= 256 and samples.shape[1] == channels):
            raise WireError(f"audio of {channels} channels at {rate} Hz in a buffer of shape {list(samples.shape)}")
        return cls(samples, rate)


@dataclass(frozen=True, eq=False)
class AudioCodes(Message):
    """A neural codec's codes: int32 of shape [frames, layers]; `size` is the number of entries of a codebook."""

    type_name = "codes"
    codes: numpy.ndarray
    size: int

    def __post_init__(self):
        object.__setattr__(self, "codes", _array(self.codes, "<i4", 2, "codes"))
        if not (1 <= self.layers <= 256 and 1 <= self.size <= 1 << 24):
            raise ValueError(f"{self.layers} layers of codes of a codebook of {self.size}")

    @property
    def frames(self) -> int:
        return self.codes.shape[0]

    @property
    def layers(self) -> int:
        return self.codes.shape[1]

    @property
    def type(self) -> PortType:
        return PortType(self.type_name, {"layers": self.layers, "size": self.size})

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("I", self.size)
        encoder.arrays.append(self.codes)

    @classmethod
    def decode(cls, decoder: Decoder) -> "AudioCodes":
        (size,) = decoder.fields.take("I")
        codes = decoder.array(3, rank=2)
        if not (1 <= codes.shape[1] <= 256 and 1 <= size <= 1 << 24):
            raise WireError(f"codes of a codebook of {size} in a buffer of shape {list(codes.shape)}")
        return cls(codes, size)


@dataclass(frozen=True)
class Text(Message):
    """A piece of text. The pieces of a turn, joined as they are, make the whole."""

    type_name = "text"
    string: str

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.text(self.string)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Text":
        return cls(decoder.text())


@dataclass(frozen=True, eq=False)
class Features(Message):
    """A matrix of features: float32 of shape [rows, dim], one row a position."""

    type_name = "features"
    values: numpy.ndarray

    def __post_init__(self):
        object.__setattr__(self, "values", _array(self.values, "<f4", 2, "values"))

    @property
    def type(self) -> PortType:
        return PortType(self.type_name, {"dim": self.values.shape[1]})

    def encode(self, encoder: Encoder) -> None:
        encoder.arrays.append(self.values)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Features":
        return cls(decoder.array(4, rank=2))


@dataclass(frozen=True, eq=False)
class Tokens(Message):
    """Token ids, int32 of shape [count]; `vocabulary` names the tokenizer that gives them their meaning."""

    type_name = "tokens"
    ids: numpy.ndarray
    vocabulary: str

    def __post_init__(self):
        object.__setattr__(self, "ids", _array(self.ids, "<i4", 1, "ids"))

    @property
    def type(self) -> PortType:
        return PortType(self.type_name, {"vocabulary": self.vocabulary})

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.text(self.vocabulary)
        encoder.arrays.append(self.ids)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Tokens":
        vocabulary = decoder.text()
        return cls(decoder.array(3, rank=1), vocabulary)


@dataclass(frozen=True, eq=False)
class ImageFrame(Message):
    """A picture: uint8 of shape [height, width, channels], rows from the top."""

    type_name = "image"
    pixels: numpy.ndarray

    def __post_init__(self):
        object.__setattr__(self, "pixels", _array(self.pixels, "u1", 3, "pixels"))

    @property
    def type(self) -> PortType:
        return PortType(self.type_name, {"channels": self.pixels.shape[2]})

    def encode(self, encoder: Encoder) -> None:
        encoder.arrays.append(self.pixels)

    @classmethod
    def decode(cls, decoder: Decoder) -> "ImageFrame":
        return cls(decoder.array(1, rank=3))


@dataclass(frozen=True)
class Control(Message):
    """A named event with a text, for what is neither sound nor text."""

    type_name = "control"
    name: str
    detail: str = ""

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.text(self.name)
        encoder.fields.text(self.detail)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Control":
        name = decoder.text()
        return cls(name, decoder.text())


@dataclass(frozen=True)
class Detection(Message):
    """What a detector heard in a session's sound: a spoken command, or that somebody speaks at all.

    `kind` is COMMAND or SPEECH; `label` the command as it was configured, or `speech`; `start` and `end` are nanoseconds
    since the session began; `score` says how sure the detector is, 0 to 1.
    """

    type_name = "detection"
    COMMAND, SPEECH = 1, 2

    kind: int
    label: str
    start: int
    end: int
    score: float

    def __post_init__(self):
        if self.kind not in (self.COMMAND, self.SPEECH):
            raise ValueError(f"a detection of kind {self.kind}")
        if not (0 <= self.start <= self.end and 0 <= self.score <= 1):
            raise ValueError(f"a detection from {self.start} to {self.end} ns with score {self.score}")

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("Bqqf", self.kind, self.start, self.end, self.score)
        encoder.fields.text(self.label)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Detection":
        kind, start, end, score = decoder.fields.take("Bqqf")
        return _checked(cls, kind, decoder.text(), start, end, score)


@dataclass(frozen=True)
class Playhead(Message):
    """How far a device has come with the sound that it was given in a session.

    `frames` of it, at `rate` a second, have left the device, which ran out of sound `underruns` times.
    """

    type_name = "playhead"
    frames: int
    rate: int
    underruns: int = 0

    def __post_init__(self):
        if not (0 <= self.frames < 1 << 48 and 1 <= self.rate <= 1_000_000):
            raise ValueError(f"a playhead at frame {self.frames} at {self.rate} Hz")

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("QII", self.frames, self.rate, self.underruns)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Playhead":
        return _checked(cls, *decoder.fields.take("QII"))


@dataclass(frozen=True)
class AnswerState(Message):
    """How the answer to the turn `epoch` is getting on where it is played.

    `phase` is SPEAKING, PAUSED, FINISHED or CUT; `played` nanoseconds of it have been heard, and `heard` is what they say.
    """

    type_name = "answer-state"
    SPEAKING, PAUSED, FINISHED, CUT = 1, 2, 3, 4

    phase: int
    epoch: int
    played: int
    heard: str

    def __post_init__(self):
        if not self.SPEAKING <= self.phase <= self.CUT:
            raise ValueError(f"an answer in phase {self.phase}")
        if self.played < 0:
            raise ValueError(f"an answer of which {self.played} ns have been played")

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("BIq", self.phase, self.epoch, self.played)
        encoder.fields.text(self.heard)

    @classmethod
    def decode(cls, decoder: Decoder) -> "AnswerState":
        phase, epoch, played = decoder.fields.take("BIq")
        return _checked(cls, phase, epoch, played, decoder.text())


@dataclass(frozen=True)
class Said(Message):
    """What a turn's audio says: pairs of a text and the nanosecond of the audio by which it will have been heard.

    The texts, joined as they are, make the whole. Pieces that are `replacing` take the place of what was told before.
    """

    type_name = "said"
    pieces: Tuple[Tuple[str, int], ...]
    replacing: bool = False

    def encode(self, encoder: Encoder) -> None:
        encoder.fields.put("BI", self.replacing, len(self.pieces))
        for text, end in self.pieces:
            encoder.fields.put("q", end)
            encoder.fields.text(text)

    @classmethod
    def decode(cls, decoder: Decoder) -> "Said":
        replacing, count = decoder.fields.take("BI")
        if replacing > 1:
            raise WireError(f"what was said has the flag {replacing}")
        pieces = []
        # No room is made for what is only promised: each piece has to be there.
        for _ in range(count):
            (end,) = decoder.fields.take("q")
            pieces.append((decoder.text(), end))
        return cls(tuple(pieces), replacing == 1)


TYPES: Dict[str, Type[Message]] = {
    type.type_name: type
    for type in (
        AnswerState, AudioChunk, AudioCodes, Control, Detection, Features, ImageFrame, Playhead, Said, Text, Tokens,
    )
}

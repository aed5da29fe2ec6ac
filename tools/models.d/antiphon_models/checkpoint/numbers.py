"""Random numbers, made as the bytes of a type: quick enough for gigabytes, and the same for the same seed."""

import random
import statistics
import struct
from functools import cache
from typing import NamedTuple

CHUNK = 1 << 16  # numbers made at a time


class Kind(NamedTuple):
    """A type of numbers: its size in bytes, and its name in PyTorch's pickles."""

    size: int
    storage: str


F32 = Kind(4, "FloatStorage")
F16 = Kind(2, "HalfStorage")
BF16 = Kind(2, "BFloat16Storage")
I64 = Kind(8, "LongStorage")
CODES = {F32: "f", BF16: "f", F16: "e", I64: "q"}  # struct's; bf16 is the upper half of an f32
KINDS = {"f32": F32, "bf16": BF16, "f16": F16}


def packed(kind, values):
    """The numbers as little-endian bytes; those of bf16 are cut off, not rounded."""
    data = struct.pack(f"<{len(values)}{CODES[kind]}", *values)
    if kind is not BF16:
        return data
    upper = bytearray(len(data) // 2)
    upper[0::2], upper[1::2] = data[2::4], data[3::4]
    return bytes(upper)


@cache
def mean_square(kind, top):
    """Of the numbers with this top byte, all others alike."""
    data = b"".join(bytes([0] * (kind.size - 2) + [below, top]) for below in range(256))
    if kind is BF16:
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    values = struct.unpack(f"<256{CODES[kind]}", data)
    return sum(value * value for value in values) / 256


@cache
def top_bytes(kind, deviation):
    """256 equally likely top bytes (sign and leading bits of the exponent): those of a normal distribution, made as wide as it
    takes for whole numbers to have about this standard deviation.
    """
    normal, low, high = statistics.NormalDist(), deviation / 4, deviation * 4
    steps = [normal.inv_cdf((i + 0.5) / 256) for i in range(256)]
    for _ in range(20):
        width = (low * high) ** 0.5
        table = bytes(packed(kind, [step * width])[-1] for step in steps)
        if sum(mean_square(kind, top) for top in table) / 256 < deviation**2:
            low = width
        else:
            high = width
    return table


class Numbers:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def about_zero(self, kind, count, scale):
        """Chunks of `count` numbers whose standard deviation is about `scale`: a top byte drawn from a table, and random bits
        below it, which is normal to within the steps of the top byte.
        """
        table, last = top_bytes(kind, scale), kind.size - 1
        for start in range(0, count, CHUNK):
            data = bytearray(self.random.randbytes(min(CHUNK, count - start) * kind.size))
            data[last :: kind.size] = data[last :: kind.size].translate(table)
            yield data

    def about(self, kind, count, mean, scale):
        """Chunks of `count` normally distributed numbers; far slower."""
        for start in range(0, count, CHUNK):
            yield packed(kind, [self.random.gauss(mean, scale) for _ in range(min(CHUNK, count - start))])

"""Published sets to shards: files of some hundred records each, with whatever encoders make of them, which stages draw from.

A shard has every set in its share and depends on its number, the seed and the sets alone.
"""

import collections
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from synthesis import answering, engines, signal

from .. import speech
from .records import WrongData
from .sounds import picture, recording


@dataclass(frozen=True)
class Limits:
    """Of records that are taken: words of what is spoken, tokens of what is read or written, seconds of what is heard, frames
    of an answer in codes."""

    words: int
    tokens: int
    seconds: float
    frames: int


class Left:
    """How many records were left out, and why."""

    def __init__(self):
        self.count = collections.Counter()

    def __call__(self, why):
        self.count[why] += 1

    def __str__(self):
        return ", ".join(f"{count} {why}" for why, count in self.count.items()) or "none"


def suits(record, tokenizer, limits, left):
    """Whether a record is short enough; counted where it is not."""
    texts = [record.question, *([] if record.answer is None else [record.answer])]
    # A token has at least a byte: most that is too long need not be taken apart to be known as such.
    if any(len(text) > 16 * limits.tokens or len(tokenizer.encode(text)) > limits.tokens for text in texts):
        left("with too many tokens")
    elif record.codes and len(record.codes) > limits.frames:
        left("with too long an answer in codes")
    elif record.is_aloud and record.sound is None and len(record.question.split()) > limits.words:
        left("with too long a question to be spoken")
    else:
        return True
    return False


def shards(readers, shares, size, tokenizer, limits, left):
    """(records to train on, records that are held out), shard by shard, until one of the sets is at its end."""
    streams = {name: iter(reader) for name, reader in readers.items()}
    total = sum(shares.values())
    wanted = {name: max(1, round(size * share / total)) for name, share in shares.items()}
    while True:
        known, held_out = [], []
        for name, count in wanted.items():
            taken = 0
            while taken < count:
                record = next(streams[name], None)
                if record is None:
                    left(f"behind the last whole shard, since {name} was at its end") if known else None
                    return
                if suits(record, tokenizer, limits, left):
                    (held_out if record.is_held_out else known).append((name, record))
                    taken += not record.is_held_out
        yield known, held_out


@dataclass(frozen=True)
class Job:
    """Records to be read and spoken by a process of its own. number: the shard's, and the name of its kind; shares: of the
    engines that ask."""

    number: tuple
    records: list
    shares: dict
    limits: Limits
    seed: int


def prepared(job):
    """The job's records as [(set, record, sound int16 at 16 kHz or None, answer at 24 kHz or None, picture or None)], and what
    went wrong."""
    rng = random.Random(f"{job.seed} {job.number}")
    noise = np.random.default_rng(rng.randrange(1 << 63))
    done, broken, long = [], [], 0
    for name, record in job.records:
        try:
            sound = heard(record, job.shares, rng, noise)
            seen = None if record.picture is None else picture(record.picture, record.place)
            answer = None
            if record.is_aloud and record.codes is None and len(record.answer.split()) <= job.limits.words:
                answer = answering.say(record.answer)
        except WrongData as problem:
            broken.append(str(problem))
            continue
        if sound is not None and len(sound) > job.limits.seconds * signal.RATE:
            long += 1
            continue
        # Files are read by now, and need not travel back.
        record.sound = record.picture = None
        done.append((name, record, sound, answer, seen))
    return done, broken, long


def heard(record, shares, rng, noise):
    """What the microphone hears of the question; None for one that is read."""
    if record.sound is not None:
        clip = recording(record.sound, record.place)
    elif record.is_aloud:
        voice, manner = speech.drawn(rng, shares), engines.Manner.drawn(rng)
        try:
            clip = engines.spoken(record.question, voice, manner, rng.randrange(1 << 30))
        except (engines.MissingVoice, ValueError, RuntimeError) as problem:
            raise WrongData(f"{record.place}: {voice.engine}/{voice.name} cannot say the question: {problem}") from None
    else:
        return None
    clip = signal.trimmed(clip)
    if clip is None:
        raise WrongData(f"{record.place}: nothing is heard of the question")
    return speech.heard(signal.scaled(clip, -22), noise, clean=record.sound is not None)


def prepared_in_order(jobs, processes):
    """What `prepared` makes of each job; only a few jobs are taken at a time, since their records hold sounds."""
    # New processes rather than forked ones: this one may hold a device.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = collections.deque()
        try:
            for job in jobs:
                waiting.append((job, pool.submit(prepared, job)))
                if len(waiting) > processes:
                    first, found = waiting.popleft()
                    yield first, found.result()
            for first, found in waiting:
                yield first, found.result()
        finally:
            pool.shutdown(cancel_futures=True)

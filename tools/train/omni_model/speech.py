"""The questions, spoken: by many voices, fast and slow, high and low, in rooms and in noise.

Free of PyTorch, so that the processes that speak start fast. Each shard depends on its number and the seed alone.
"""

import functools
import random
from dataclasses import dataclass

import numpy as np
from synthesis import engines, held_out, noise, signal

SHARD = 128  # clips of a file
RATE = signal.RATE


@dataclass(frozen=True)
class Spoken:
    """What is to be said, and how."""

    text: str
    number: int  # of the text
    voice: engines.Voice
    manner: engines.Manner
    seed: int


@functools.cache
def voices(engine, unseen):
    """An engine's voices that training hears, or those that it does not."""
    return [voice for voice in engines.all_voices() if voice.engine == engine and held_out.is_held_out(voice) == unseen]


def drawn(rng, shares, unseen=False):
    """A voice; `shares` says how often each engine speaks."""
    shares = {engine: share for engine, share in shares.items() if voices(engine, unseen)}
    engine = rng.choices(list(shares), list(shares.values()))[0]
    return rng.choice(voices(engine, unseen))


def wanted(domain, settings, shares, seed, held_out=False, unseen=False):
    """What to speak. Topics have their shares; of a topic every intent comes equally often, in every way it is asked.

    settings: the section `speech` of a size; shares: of the engines. held_out: only texts that training never has; unseen: by
    voices that it never has.
    """
    rng = random.Random(f"{seed} {shares} {held_out} {unseen}")
    by_topic = {}
    for text, intent in enumerate(domain.intent_of):
        if domain.held_out[text] == held_out:
            topic = domain.intents[intent][0]
            topic = topic if topic in settings["topics"] else "pictures"
            by_topic.setdefault(topic, {}).setdefault(intent, []).append(text)
    count = settings["test"] if held_out else settings["clips"]
    topics = {topic: share for topic, share in settings["topics"].items() if topic in by_topic}
    total, chosen = sum(topics.values()), []
    for topic, share in topics.items():
        intents = [by_topic[topic][intent] for intent in sorted(by_topic[topic])]
        pool = []
        for _ in range(max(1, round(count * share / total))):
            if not pool:
                pool = rng.sample(intents, len(intents))
            number = rng.choice(pool.pop())
            voice, manner = drawn(rng, shares, unseen), engines.Manner.drawn(rng, wide=not held_out)
            chosen.append(Spoken(domain.texts[number], number, voice, manner, rng.randrange(1 << 30)))
    # A program's rate is changed there, its pitch by resampling, each copy anew.
    rng.shuffle(chosen)
    return chosen


@functools.cache
def noises():
    """A few sounds to lie under speech, 8 s each."""
    rng = np.random.default_rng(7)
    made = [noise.coloured(rng, 8 * RATE, slope) for slope in (0, 2, 3, 4, 5, 6)]
    made += [noise.hum(rng, 8 * RATE) for _ in range(3)] + [noise.music(rng, 8 * RATE) for _ in range(3)]
    return made


@functools.cache
def rooms():
    rng = np.random.default_rng(8)
    return [noise.room(rng, 0.4) for _ in range(40)]


def heard(clip, rng, clean=False):
    """The clip as a microphone hears it, with some silence before and after: int16."""
    if not clean:
        clip = signal.resampled(clip, rng.uniform(0.88, 1.14))
    before, after = (int(rng.uniform(low, 0.42) * RATE) for low in (0.04, 0.12))
    sound = np.concatenate([np.zeros(before, np.float32), clip, np.zeros(after, np.float32)])
    if not clean and rng.random() < 0.4:
        sound = signal.convolved(sound, rooms()[rng.integers(len(rooms()))])
    level = signal.speech_level(clip)
    if not clean and rng.random() < 0.6:
        bank = noises()[rng.integers(len(noises()))]
        start = int(rng.integers(max(1, len(bank) - len(sound))))
        part = np.resize(bank[start:], len(sound))
        sound = sound + part * np.float32(level * 10 ** (-rng.uniform(8, 35) / 20))
    # Nothing is ever quite still.
    sound = sound + rng.standard_normal(len(sound)).astype(np.float32) * np.float32(level * 10 ** (-rng.uniform(40, 70) / 20))
    wish = 10 ** (rng.uniform(-32, -14) / 20) / max(level, 1e-4)
    return signal.pcm(sound * min(wish, 0.98 / (np.abs(sound).max() + 1e-9)))


def shard(job):
    """(spoken, copies, clean, seed) to samples of all clips in a row, counts, texts' numbers and voices, and failures."""
    spoken, copies, clean, seed = job
    rng = np.random.default_rng(seed)
    clips, texts, voices, failed = [], [], [], []
    for one in spoken:
        try:
            clip = signal.trimmed(engines.spoken(one.text, one.voice, one.manner, one.seed))
        except Exception as problem:  # One clip less is no reason to lose the others.
            clip = None
            failed.append(f"{one.voice.engine}/{one.voice.name}: {problem}")
        if clip is None:
            continue
        clip = signal.scaled(clip, -22)
        for _ in range(copies):
            clips.append(heard(clip, rng, clean))
            texts.append(one.number)
            voices.append(f"{one.voice.engine}/{one.voice.name}")
    samples = np.concatenate(clips) if clips else np.zeros(0, np.int16)
    return {
        "samples": samples, "counts": np.array([len(clip) for clip in clips], np.int64),
        "texts": np.array(texts, np.int64), "voices": voices, "failed": failed,
    }  # fmt: skip


def jobs(spoken, copies, clean, seed):
    per = max(1, SHARD // copies)
    return [(spoken[first : first + per], copies, clean, (seed, first)) for first in range(0, len(spoken), per)]

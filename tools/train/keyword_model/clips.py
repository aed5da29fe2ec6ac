"""The pool of spoken clips that scenes are made of. Made once, kept in the work folder."""

import functools
import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from synthesis import engines, held_out, signal, talk


@dataclass(frozen=True)
class Request:
    kind: str
    text: str
    voice: engines.Voice
    manner: engines.Manner
    seed: int


@functools.cache
def espeak_voices():
    return [voice for voice in engines.all_voices() if voice.engine == "espeak" and not held_out.is_held_out(voice)]


def voices(rng, kind):
    """A voice that training may hear. espeak-ng's are many and alike, the others few and better."""
    share = rng.random()
    if kind == "own":
        return rng.choice([engines.Voice("flite", "rms"), engines.Voice("flite", "slt"), engines.Voice("hibari", "heart")])
    if share < 0.5:
        return rng.choice(espeak_voices())
    return engines.Voice("flite", rng.choice(engines.FLITE)) if share < 0.8 else engines.Voice("hibari", "heart")


def command_text(rng, command, unseen=False):
    if unseen:
        return rng.choice(held_out.SPELLINGS).format(command)
    if command in talk.REPEATED and rng.random() < 0.08:
        return rng.choice(talk.REPEATED[command])
    text = rng.choice(talk.SPELLINGS).format(command)
    return text[0].upper() + text[1:] if rng.random() < 0.5 else text


def requests(seed, scale=1.0, pick=voices, unseen=False):
    """What to speak, in an order that does not matter. pick: a voice for a kind of clip; unseen: what training never has."""
    rng = random.Random(seed)
    wanted = []

    def add(kind, count, text):
        for _ in range(round(count * scale)):
            manner = engines.Manner.drawn(rng, wide=kind != "own")
            wanted.append(Request(kind, text(), pick(rng, kind), manner, rng.randrange(1 << 30)))

    for command in talk.COMMANDS:
        add(command, 4200, lambda command=command: command_text(rng, command, unseen))
    near = talk.HELD_OUT_NEAR_MISSES if unseen else talk.NEAR_MISSES
    add("near", 9000, lambda: rng.choice(talk.SPELLINGS).format(rng.choice(near)))
    add("talk", 9600, lambda: talk.talk(rng, unseen))
    add("own", 1350, lambda: talk.talk(rng, unseen))
    return wanted


def speak(request):
    samples = engines.spoken(request.text, request.voice, request.manner, request.seed)
    heard = signal.trimmed(samples)
    return None if heard is None else signal.pcm(signal.scaled(heard, -22))


def make(path, seed, scale=1.0, processes=2, wanted=None, context=None):
    """wanted: requests, in place of the keyword detector's; context: of the processes that speak."""
    wanted = wanted or requests(seed, scale)
    engines.check(sorted({request.voice.engine for request in wanted}))
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        spoken = list(pool.map(speak, wanted, chunksize=50))
    kept = [(request, samples) for request, samples in zip(wanted, spoken) if samples is not None]
    temporary = path.with_name(f"{path.stem}.part.npz")
    np.savez(
        temporary,
        samples=np.concatenate([samples for _, samples in kept]),
        counts=np.array([len(samples) for _, samples in kept]),
        kinds=np.array([request.kind for request, _ in kept]),
        voices=np.array([f"{request.voice.engine}/{request.voice.name}" for request, _ in kept]),
    )
    os.replace(temporary, path)


class Pool:
    """Clips by kind, and by kind and voice."""

    def __init__(self, path):
        with np.load(path) as file:
            samples, counts = file["samples"], file["counts"]
            kinds, voices = file["kinds"], file["voices"]
        ends = np.cumsum(counts)
        self.clips = {}
        self.by_voice = {}
        for end, count, kind, voice in zip(ends, counts, kinds, voices):
            clip = samples[end - count : end]
            self.clips.setdefault(str(kind), []).append((clip, str(voice)))
            self.by_voice.setdefault((str(kind), str(voice)), []).append(clip)

    def drawn(self, rng, kind, voice=None):
        """A clip as floats, and whose voice it is; of that voice where there is one."""
        same = self.by_voice.get((kind, voice))
        if same:
            return same[rng.integers(len(same))].astype(np.float32) / 32768, voice
        clip, voice = self.clips[kind][rng.integers(len(self.clips[kind]))]
        return clip.astype(np.float32) / 32768, voice

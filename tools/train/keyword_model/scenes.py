"""Scenes of four seconds: commands, talk, near-misses, over noise and the assistant's own voice, with labels."""

import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from synthesis import noise, signal
from synthesis.signal import RATE
from synthesis.talk import COMMANDS

from . import training
from .clips import Pool
from .features import Mel

COUNT = 4 * RATE
ROWS = COUNT // 320
KINDS = ["command", "near", "talk", "spliced", "quiet"]
SHARES = [0.42, 0.2, 0.2, 0.13, 0.05]
WITHOUT_COMMANDS = [0, 0.3, 0.45, 0.2, 0.05]
# When the network is to say so, and when it may: seconds from the command's end.
FIRM = (0.12, 0.30)
FREE = (-0.08, 0.50)


def row_times():
    """Seconds of sound that it takes to know each row of the network."""
    return (np.arange(ROWS) * 320 + 560) / RATE


class Stage:
    """Makes scenes from a pool of clips."""

    def __init__(self, pool, seed, backgrounds=30):
        self.pool = pool
        rng = np.random.default_rng((seed, 7))
        talk = [pool.drawn(rng, "talk")[0] for _ in range(150)]
        length = 12 * RATE
        self.noises = [noise.babble(rng, length, talk) for _ in range(backgrounds)]
        self.noises += [noise.music(rng, length) for _ in range(backgrounds)]
        self.noises += [noise.hum(rng, length) for _ in range(backgrounds // 2)]
        self.noises += [noise.coloured(rng, length, rng.uniform(-1, 7)) for _ in range(backgrounds)]
        self.own = []
        for _ in range(2 * backgrounds):
            pieces, voice = [], None
            while sum(map(len, pieces)) < length:
                clip, voice = pool.drawn(rng, "own", voice)
                pieces += [clip, np.zeros(int(rng.uniform(0.1, 0.5) * RATE), np.float32)]
            sound = noise.loudspeaker(rng, np.concatenate(pieces)[:length])
            self.own.append(sound / (signal.speech_level(sound) + 1e-9))

    def scene(self, rng, shares=SHARES):
        """Samples as int16, and a label for each row."""
        samples, ends = self.placed(rng, shares)
        return samples, _labels(ends)

    def placed(self, rng, shares=SHARES):
        """Samples as int16, and the commands in them: (name, seconds at which it ends)."""
        kind = rng.choice(KINDS, p=shares)
        speech, ends = np.zeros(COUNT, np.float32), []
        getattr(self, "_" + kind)(rng, speech, ends)
        if rng.random() < 0.5:
            speech = noise.convolved(speech, noise.room(rng))
        if rng.random() < 0.5:
            speech = _equalised(rng, speech)
        sound = self._over_background(rng, speech, kind)
        peak = np.abs(sound).max() + 1e-9
        level = 10 ** (rng.uniform(-45, -14) / 20) / max(signal.speech_level(speech), 1e-3)
        sound = sound * min(level, 1.5 / peak)
        if rng.random() < 0.85:
            sound = sound + rng.standard_normal(COUNT).astype(np.float32) * 10 ** (rng.uniform(-95, -60) / 20)
        return signal.pcm(sound), ends

    def _over_background(self, rng, speech, kind):
        level = signal.speech_level(speech) if kind != "quiet" else 0.08
        sound = speech
        if rng.random() < 0.7:
            least = 0 if kind == "command" else -5
            sound = sound + self._crop(rng, self.noises) * np.float32(level * 10 ** (-rng.uniform(least, 30) / 20))
        if rng.random() < 0.35:
            sound = sound + self._crop(rng, self.own) * np.float32(level * 10 ** (-rng.uniform(2, 28) / 20))
        return sound

    def _crop(self, rng, bank):
        sound = bank[rng.integers(len(bank))]
        start = rng.integers(len(sound) - COUNT)
        return sound[start : start + COUNT]

    def _command(self, rng, speech, ends):
        position, voice = int(rng.uniform(0.05, 2.3) * RATE), None
        if rng.random() < 0.4:
            # What was said before is over by a pause.
            before, voice = self.pool.drawn(rng, "talk" if rng.random() < 0.7 else "near")
            position = int(rng.uniform(0.2, 2.0) * RATE)
            _add(speech, before, position - len(before))
            position += int(rng.uniform(0.22, 0.8) * RATE)
        for _ in range(2):
            name = COMMANDS[rng.integers(len(COMMANDS))]
            clip, voice = self.pool.drawn(rng, name, voice if rng.random() < 0.7 else None)
            if position + len(clip) + int(0.3 * RATE) > COUNT:
                break
            _add(speech, clip, position)
            position += len(clip)
            ends.append((name, position / RATE))
            if rng.random() < 0.35:
                after, _ = self.pool.drawn(rng, "talk", voice)
                position += int(rng.uniform(0.4, 1.0) * RATE)
                _add(speech, after, position)
                break
            position += int(rng.uniform(0.6, 1.5) * RATE)

    def _near(self, rng, speech, ends):
        position, voice = int(rng.uniform(-0.5, 1.0) * RATE), None
        while position < COUNT:
            clip, voice = self.pool.drawn(rng, "near", voice)
            _add(speech, clip, position)
            position += len(clip) + int(rng.uniform(0.15, 1.2) * RATE)

    def _talk(self, rng, speech, ends):
        position, voice = -int(rng.uniform(-0.5, 2.5) * RATE), None
        while position < COUNT:
            clip, voice = self.pool.drawn(rng, "talk", voice)
            _add(speech, clip, position)
            position += len(clip) + int(rng.uniform(0.03, 0.9) * RATE)

    def _spliced(self, rng, speech, ends):
        """A command's sound in the midst of talk is none."""
        command, voice = self.pool.drawn(rng, COMMANDS[rng.integers(len(COMMANDS))])
        middle, side = int(rng.uniform(0.4, 2.8) * RATE), rng.integers(3)
        _add(speech, command, middle)
        if side != 1:
            before, _ = self.pool.drawn(rng, "talk", voice)
            _add(speech, before, middle - len(before) - int(rng.uniform(0, 0.06) * RATE))
        if side != 0:
            after, _ = self.pool.drawn(rng, "talk", voice)
            _add(speech, after, middle + len(command) + int(rng.uniform(0, 0.05) * RATE))

    def _quiet(self, rng, speech, ends):
        if rng.random() < 0.5:
            # The assistant is all that is heard.
            speech += self._crop(rng, self.own) * np.float32(0.08)


def _add(sound, clip, position):
    first, last = max(0, position), min(len(sound), position + len(clip))
    if last > first:
        sound[first:last] += clip[first - position : last - position]


def _equalised(rng, sound):
    """Through a microphone that is not flat."""
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = rng.uniform(-3, 3) * np.log2(np.maximum(frequency, 50) / 1000) / 2
    gain += rng.uniform(-6, 6) * np.exp(-np.square(np.log2(np.maximum(frequency, 50) / rng.uniform(200, 5000))))
    spectrum = np.fft.rfft(sound) * 10 ** (gain / 20)
    spectrum *= frequency / np.hypot(frequency, rng.uniform(20, 250))
    spectrum /= np.sqrt(1 + (frequency / rng.uniform(3500, 9000)) ** 8)
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)


def _labels(ends):
    times = row_times()
    labels = np.zeros(ROWS, np.int8)
    for name, end in ends:
        labels[(times >= end + FREE[0]) & (times < end + FREE[1])] = training.IGNORED
        labels[(times >= end + FIRM[0]) & (times <= end + FIRM[1])] = COMMANDS.index(name) + 1
    return labels


_stage = None


def _start(clips, seed):
    global _stage
    torch.set_num_threads(1)
    _stage = Stage(Pool(clips), seed)


def _drawn(rng, count, shares=SHARES):
    """Spectrograms as float16, and labels."""
    sounds, labels = zip(*(_stage.scene(rng, shares) for _ in range(count)))
    samples = torch.from_numpy(np.stack(sounds).astype(np.float32) / 32768)
    mel = Mel()(torch.nn.functional.pad(samples, (0, 400))[:, : COUNT + 240])
    return mel.numpy().astype(np.float16), np.stack(labels)


def _save(path, mel, labels):
    temporary = path.with_name(path.stem + ".part.npz")
    np.savez(temporary, mel=mel, labels=labels)
    os.replace(temporary, path)


def _shard(path, seed, number, count):
    _save(path, *_drawn(np.random.default_rng((seed, number)), count))
    return path.name


def _mined(path, seed, number, count, network):
    """Of so many scenes without commands, those in which the network hears one."""
    rng, kept = np.random.default_rng((seed, 1000, number)), []
    for _ in range(count // 256):
        mel, labels = _drawn(rng, 256, WITHOUT_COMMANDS)
        heard = training.scores(network, torch.from_numpy(mel)).amax(dim=1).numpy()
        kept.append((mel[heard > 0.2], labels[heard > 0.2]))
    _save(path, *(np.concatenate(parts) for parts in zip(*kept)))
    return f"{path.name}: {sum(len(mel) for mel, _ in kept)} of {count}"


def make(folder, clips, seed, shards, count=512, processes=2):
    """Writes the shards that are not there yet; each depends on its number alone."""
    wanted = [(folder / f"scenes-{n:03}.npz", seed, n, count) for n in range(shards)]
    _make(_shard, wanted, clips, seed, processes)


def mine(folder, clips, seed, shards, network, count=4096, processes=2):
    """Writes shards of what the network mistakes for commands, as long as they are not there."""
    wanted = [(folder / f"mined-{n:03}.npz", seed, n, count, network) for n in range(shards)]
    _make(_mined, wanted, clips, seed, processes)


def _make(what, wanted, clips, seed, processes):
    missing = [shard for shard in wanted if not shard[0].exists()]
    if not missing:
        return
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(clips, seed)) as pool:
        for name in pool.map(what, *zip(*missing)):
            print(name, flush=True)

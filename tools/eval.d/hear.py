"""What PocketSphinx hears in answers, when it knows that they are answers of the domain:

    python -m hear ANSWERS ANSWERS.txt

reads answers.json in the folder ANSWERS, hears its sounds, and writes heard-pocketsphinx.json beside it.
"""

import argparse
import json
import os
import sys
import tempfile
import wave
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pocketsphinx
from synthesis import signal

import grammar

NAME = "PocketSphinx, the domain's grammar"
# Words of the domain that the dictionary in the wheel lacks.
PRONOUNCED = {"bleats": "B L IY T S", "meows": "M IY AW Z"}
decoder = None


class Unknown(Exception):
    """What cannot be heard, and why."""


def start(sentences):
    """In each process: the recognizer with its grammar."""
    global decoder
    made = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    for word in sorted({word for sentence in sentences for word in sentence}):
        if made.lookup_word(word) is None:
            if word not in PRONOUNCED:
                raise Unknown(f"'{word}' is in the answers, but not in the dictionary; add it to PRONOUNCED in {__file__}")
            made.add_word(word, PRONOUNCED[word], True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.fsg"
        path.write_text(grammar.written("answers", sentences))
        made.add_fsg("answers", made.read_fsg(str(path)))
    made.activate_search("answers")
    decoder = made


def heard(path):
    """The likeliest answer of the domain, or nothing."""
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise Unknown(f"{path}: expected one channel of 16 bits")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        samples = signal.to_rate(samples, file.getframerate())
    # It wants to hear where speech begins and ends.
    pause = np.random.default_rng(1).normal(0, 1e-4, signal.RATE // 4).astype(np.float32)
    decoder.start_utt()
    decoder.process_raw(signal.pcm(np.concatenate([pause, samples, pause])).tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


def main():
    parser = argparse.ArgumentParser(prog="tools/eval.d/hear.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the answers")
    parser.add_argument("domain", type=Path, help="all answers of the domain, one a line")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    try:
        answers = json.loads((options.folder / "answers.json").read_text())["answers"]
        sentences = sorted({tuple(grammar.words(line)) for line in options.domain.read_text().splitlines()} - {()})
        asked = [answer for answer in answers if answer["condition"] == "asked"]
        sounds = sorted({answer["sound"] for answer in asked if answer.get("sound")})
        found = {}
        with ProcessPoolExecutor(options.processes, initializer=start, initargs=(sentences,)) as pool:
            for sound, text in zip(sounds, pool.map(heard, [options.folder / sound for sound in sounds], chunksize=4)):
                found[sound] = text
                print(f"\rPocketSphinx: {len(found)} of {len(sounds)}", end="", file=sys.stderr)
        print(file=sys.stderr)
    except (OSError, ValueError, KeyError, Unknown) as problem:
        sys.exit(f"tools/eval: {problem}")
    content = {"recognizer": NAME, "heard": found}
    (options.folder / "heard-pocketsphinx.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Speech of the one voice, made once: corpus.s16 (24 kHz, 16 bits, clip after clip) and corpus.json beside it."""

import json
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

import numpy as np

from common.settings import WrongSetting
from common.words import rarest
from synthesis import engines, signal, steady
from synthesis.answering import RATE, VOICE, say

from . import texts

LONGEST = 400
MOST_TEXTS = 1_000_000
KEPT_BACK = 20  # of so many texts that are given one is held out, where they are said steadily

_steadily = frozenset()  # the texts that this process says so


def _start(texts):
    global _steadily
    _steadily = frozenset(texts)
    if texts:
        steady.begin(texts)


def shortened(samples, most=RATE // 8):
    """With so much silence at most at either end: there is enough to be learnt from less."""
    loud = np.flatnonzero(np.abs(samples) > 20)
    return samples[max(0, loud[0] - most) : loud[-1] + most] if len(loud) else samples[:most]


def speak(request):
    """(text, speed, seed) as 16-bit samples; deterministic. What is said steadily is of whole frames, and stays so."""
    text = request[0]
    return signal.pcm(steady.say(text)) if text in _steadily else shortened(signal.pcm(say(*request)))


def read_texts(file):
    """A text a line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{file}: cannot be read as lines of text: {error}") from None
    found = [line.strip() for line in lines if line.strip()]
    if not 1 <= len(found) <= MOST_TEXTS:
        raise WrongSetting(f"{file}: expected 1 to {MOST_TEXTS} lines of text, found {len(found)}")
    for place, line in enumerate(lines, 1):
        if len(line) > LONGEST:
            raise WrongSetting(f"{file}: line {place}: expected at most {LONGEST} characters, found {len(line)}")
    return found


def requests(rng, given, held_out):
    """Texts and manners without end. All that are given come first, so that each is spoken at least once."""
    for text in rng.sample(given, len(given)) if not held_out else ():
        yield text, 1.0, rng.randrange(1 << 30)
    while True:
        text = texts.drawn(rng, given, held_out)
        speed = 1.0 if held_out or rng.random() < 0.7 else rng.uniform(0.9, 1.12)
        yield text, speed, rng.randrange(1 << 30)


def steadily(rng, given):
    """Of texts that are given, without end: the fewer of them have a word, the oftener it is said."""
    shares = [few**-0.5 for few in rarest(given)]
    while True:
        yield rng.choices(given, shares)[0], 1.0, 0


def write(path, pool, wanted, is_enough, frame=1):
    """Clips in the order of what is wanted until there is enough, each filled up with silence to whole frames of samples."""
    part, clips, total, begun, told = path.with_suffix(".part"), [], 0, time.monotonic(), 0.0
    with open(part, "wb") as file:
        while not is_enough(len(clips), total):
            # Small ones at first: little is spoken in vain where little is wanted.
            block = [next(wanted) for _ in range(max(16, min(256, len(clips))))]
            for request, samples in zip(block, pool.map(speak, block, chunksize=8)):
                if is_enough(len(clips), total):
                    break
                samples = np.pad(samples, (0, -len(samples) % frame))
                file.write(samples.tobytes())
                total += len(samples)
                clips.append((request[0], total))
            if time.monotonic() - told > 5:
                told = time.monotonic()
                print(f"{path.name}: {total / RATE / 60:.1f} min of speech, {told - begun:.0f} s", flush=True)
    about = {
        "voice": f"hibari/{VOICE}",
        "rate": RATE,
        "frame": frame,
        "texts": [text for text, _ in clips],
        "ends": [end for _, end in clips],
    }
    path.with_suffix(".json").write_text(json.dumps(about) + "\n")
    os.replace(part, path)
    print(f"{path.name}: {len(clips)} clips, {total / RATE / 60:.1f} min, {time.monotonic() - begun:.0f} s", flush=True)


def make(work, minutes, held_out, seed, texts_file=None, processes=2, steadied=False):
    """What is there already is kept. steadied: nothing is said but the texts of `texts_file`, as synthesis.steady says them, each
    from a frame of the codec on; some are held out."""
    given = read_texts(texts_file) if texts_file else []
    if steadied and not given:
        raise WrongSetting("--steady: says texts that are given; --texts FILE names them, one a line")
    if all((work / name).exists() for name in ("corpus.s16", "held-out.s16")):
        return
    engines.check(["hibari"])
    # Others say the words of what is held out.
    common = sorted({text for text, few in zip(given, rarest(given)) if few > 2}) if steadied else []
    kept_back = common[::KEPT_BACK]
    learned, frame = sorted(set(given).difference(kept_back)), steady.FRAME if steadied else 1
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(given if steadied else [],)) as pool:
        most, rng = minutes * 60 * RATE, random.Random(seed)
        wanted = steadily(rng, learned) if steadied else requests(rng, given, False)
        write(work / "corpus.s16", pool, wanted, lambda _, total: total >= most, frame)
        spoken = set(json.loads((work / "corpus.json").read_text())["texts"])
        rng = random.Random(f"held out {seed}")
        wanted = chain(((text, 1.0, 0) for text in rng.sample(kept_back, len(kept_back))), requests(rng, learned, True))
        unheard = (each for each in wanted if each[0] not in spoken)
        write(work / "held-out.s16", pool, unheard, lambda count, _: count >= held_out, frame)


class Speech:
    """One long row of samples, and where its clips end; each begins at a multiple of `frame` samples."""

    def __init__(self, path):
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            self.samples = np.fromfile(path, "<i2")
        except OSError as error:
            raise WrongSetting(f"{error.filename}: {error.strerror}; the step 'corpus' makes it") from None
        self.texts, self.ends, self.frame = about["texts"], about["ends"], about.get("frame", 1)
        if not self.ends or self.ends[-1] != len(self.samples):
            raise WrongSetting(f"{path}: {len(self.samples)} samples, and its .json tells of others; make it anew")

    def clips(self):
        """Each as floats, with its text."""
        for text, start, end in zip(self.texts, [0, *self.ends], self.ends):
            yield text, self.samples[start:end].astype(np.float32) / 32768

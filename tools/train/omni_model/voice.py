"""What the assistant says, spoken and turned into codes: once for each answer."""

from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from synthesis import answering, signal, steady

RATE = answering.RATE
FRAME = 2048
MARGIN = 720  # samples of silence that are left at both ends
COMPARED = 80  # frames that are said alike of which the most typical is found


def say(text):
    """24 kHz, float32; the same text always sounds the same."""
    samples = answering.say(text)
    loud = np.flatnonzero(signal.levels(samples, 240) > 0.004)
    if len(loud) == 0:
        return samples
    return samples[max(0, loud[0] * 240 - MARGIN) : (loud[-1] + 1) * 240 + MARGIN]


def spoken(texts, processes, steadied=False):
    """The texts in sound, and of each the first frame of each word and of what would be the next, where that is known: `steadied`,
    as synthesis.steady says them, words alike in all of them."""
    # New processes rather than forked ones: this one may hold a device.
    start = {"initializer": steady.begin, "initargs": (texts,)} if steadied else {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), **start) as pool:
        size = max(1, min(64, len(texts) // (4 * processes) or 1))
        found = list(pool.map(steady.said if steadied else say, texts, chunksize=size))
    return tuple(zip(*found)) if steadied else (found, None)


def spans(tokenizer, text, starts):
    """Frames [tokens, 2] in which each token of a text is said, from and to: those of the word that it ends in. starts: as `spoken`
    has them of a text. Where the voice says another number of words than are written ("12" is one and may be said as two), they
    are taken to be equally long."""
    words = len(text.split())
    if len(starts) != words + 1:
        starts = np.linspace(starts[0], starts[-1], words + 1).round().astype(int).tolist()
    found, read = [], ""
    for number in tokenizer.encode(text):
        read += tokenizer.decode([number])
        word = max(0, len(read.split()) - 1)
        found.append(starts[word : word + 2])
    return found


def typical(texts, found, starts):
    """Codes of texts that are said steadily, in place of each frame's the ones that frames said alike mostly have: those of the same
    word, as long, in the same place of it, first or not in a sentence; at its edges also next to the same letter. starts: as
    `spoken` has them. A codec writes down one sound in many ways, which nobody who reads the text can foresee."""
    import torch

    alike = [_alike(text, each) for text, each in zip(texts, starts)]
    heard = defaultdict(list)
    for codes, keys in zip(found, alike):
        for frame, key in zip(codes, keys):
            heard[key].append(frame)
    kept = {key: _most_typical(torch.stack(frames[:: -(-len(frames) // COMPARED)])) for key, frames in heard.items()}
    return [torch.stack([kept[key] for key in keys]) if keys else codes for codes, keys in zip(found, alike)]


def _alike(text, starts):
    """For each frame what it shares with those that are said alike; where the voice says another number of words, nothing."""
    words = text.lower().split()
    if len(starts) != len(words) + 1:
        return [(text, frame) for frame in range(starts[-1])]
    found = []
    for place, (word, begin, end) in enumerate(zip(words, starts, starts[1:])):
        before, after = words[place - 1][-1] if place else "", (words[place + 1][0] if place + 1 < len(words) else "")
        for frame in range(begin, end):
            edges = (before if frame == begin else None, after if frame == end - 1 else None)
            found.append((word, end - begin, place == 0, frame - begin, edges))
    return found


def _most_typical(frames):
    """The one of [count, 7] that most codes of all are those of."""
    same = (frames[:, None] == frames[None]).sum((1, 2))
    return frames[same.argmax()]


def codes_of(clips, folder, codes, device):
    """For each clip [frames, 7] codes in the order of Mini-Omni2's layers; see `coder`."""
    return coder(folder, codes, device)(clips)


def coder(folder, codes, device):
    """What makes clips codes; `folder` holds the codec, as the release has it.

    Without one a stand-in makes codes of loudness and pitch, which serve to try out the steps and say nothing.
    """
    import torch

    if folder is None:
        return lambda clips: [torch.from_numpy(_stand_in(clip, codes)) for clip in clips]
    from codec_model import codes as coding

    codec = coding.load(folder, device)

    def encoded(clips):
        found = coding.encode(codec, clips)
        most = max((int(frames.max()) for frames in found if len(frames)), default=0)
        if most >= codes:
            raise WrongCodec(f"{folder}: its codebooks have more than the {codes} codes that the size's `language.codes` says")
        return found

    return encoded


class WrongCodec(Exception):
    """A codec that does not suit the language model."""


def _stand_in(clip, codes):
    count = -(-len(clip) // FRAME)
    clip = np.pad(clip, (0, count * FRAME - len(clip))).reshape(count, FRAME)
    columns = []
    # Layers by level: one code a frame, two, four.
    for parts, part in ((1, 0), (2, 0), (4, 0), (4, 1), (2, 1), (4, 2), (4, 3)):
        pieces = clip.reshape(count, parts, -1)[:, part]
        spectrum = np.abs(np.fft.rfft(pieces))
        bands = np.log(np.stack([band.mean(1) for band in np.array_split(spectrum, 12, axis=1)], 1) + 1e-3)
        draw = np.random.default_rng(len(columns)).standard_normal((bands.shape[1], codes))
        columns.append((bands @ draw).argmax(1))
    return np.stack(columns, 1).astype(np.int16)

"""The answering voice, steadied: words begin where one of the codec's frames does, last whole frames, and have the same melody
each time that they are said.

Codes of a codec tell how high a voice is, and where in its period a frame begins. Both are different each time that a sentence
has the same word, so that of the codes of one word in two sentences hardly one in ten is the same, and a small model would have
to learn by heart what it cannot foresee. Where words begin with frames and with a period, and melodies belong to words, several
times as many are the same. That is what talking clocks do (limited domain synthesis; Black and Lenzo 2000); but here only melodies, lengths and
the middles of words are kept, and where words meet they sound as they do in the sentence.
"""

from collections import defaultdict
from pathlib import Path

import hibari
import numpy as np
import onnxruntime
from hibari import dsp

from . import answering, signal

FRAME = 2048  # samples of the codec
HOPS = 7  # of the voice's network, of 300 samples, that are made a frame: 2.5 % longer, which is made up for
STRETCH = FRAME / (HOPS * dsp.HOP)
HOPS_OF_DURATION = 2
LEAD, TRAIL = 4, 8  # hops of silence that are kept at the ends
LONGER = 0.25  # frames by which words are longer than they would be, before they are rounded
EDGE = (8, 13)  # hops from a word's edge: up to the first it sounds as in its sentence, from the second on always the same
HEARD = 7  # sentences in which a word is listened to
VOICED = 40.0  # Hz

DURATIONS = "/Cast_32_output_0"  # hops / 2 of each phoneme, inside the network
OUTPUTS = ["lh", "theta", "ln", "lr", "phi", "f0"]


_own = None


def begin(texts):
    """Makes the voice of this process, that of `say` and `said`: for pools of processes."""
    global _own
    _own = Steady(texts)


def say(text):
    return _own.say(text)


def said(text):
    return _own.said(text)


class Steady:
    """Says texts. Melodies, lengths and middles of words are learned from `texts`; other words are said as they come."""

    def __init__(self, texts, voice=answering.VOICE):
        self.voice = hibari.Hibari(voice=voice)
        self.network = _network()
        self.letters = {number: letter for letter, number in self.voice.vocab.items()}
        found = defaultdict(list)
        for text in texts:
            ids = self._ids(text)
            for place, word in enumerate(self._words(ids)):
                # The same few sentences give many words.
                if len(found[word]) < HEARD:
                    found[word].append((tuple(ids), place))
        heard = {}
        for ids in {ids for places in found.values() for ids, _ in places}:
            heard[ids] = self._computed(ids)
        self.known = {word: _typical([heard[ids] for ids, _ in places], [place for _, place in places])
                      for word, places in found.items()}  # fmt: skip

    def say(self, text, seed=0):
        """24 kHz, float32 of full scale at 1, whole frames; the same text always sounds the same."""
        return self.said(text, seed)[0]

    def said(self, text, seed=0):
        """The samples, and the first frame of each word and of what would be the next."""
        ids = self._ids(text)
        if len(ids) < 3:
            return np.zeros(0, np.float32), [0]
        parts, spans = self._computed(ids)
        words, starts = [], [0]
        for word, (begin, end) in zip(self._words(ids), spans):
            known = self.known.get(word)
            hops = known["f0"].shape[-1] if known else _hops(end - begin)
            own = _warped(parts, begin, end, hops)
            words.append(_blended(own, known) if known else own)
            starts.append(starts[-1] + hops)
        joined = {name: np.concatenate([word[name] for word in words], -1) for name in OUTPUTS}
        samples = signal.resampled(_sound(joined, starts, seed), STRETCH)
        return samples, _heard_from([start // HOPS for start in starts])

    def _ids(self, text):
        return self.voice.ids(" ".join(self.voice.phonemize(text)))

    def _groups(self, ids):
        """Places of each word's phonemes; the silences at both ends belong to the first and the last."""
        found = [[0]]
        for place in range(1, len(ids) - 1):
            found[-1].append(place)
            if self.letters[ids[place]] == " " and place < len(ids) - 2:
                found.append([])
        found[-1].append(len(ids) - 1)
        return found

    def _words(self, ids):
        """What is said the same way: phonemes, with what follows of punctuation, and whether they begin or end a sentence."""
        groups = self._groups(ids)
        spelled = ["".join(self.letters.get(ids[place], "") for place in group if ids[place]).strip() for group in groups]
        return [(word, place == 0, place == len(groups) - 1) for place, word in enumerate(spelled)]

    def _computed(self, ids):
        """What the network makes of phonemes, by name [..., hops], and the hops of each word, from and to."""
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
        *parts, durations = self.network.run([*OUTPUTS, DURATIONS], inputs)
        ends = np.concatenate([[0], np.cumsum(durations.flatten())]) * HOPS_OF_DURATION
        spans = [[ends[group[0]], ends[group[-1] + 1]] for group in self._groups(ids)]
        spans[0][0], spans[-1][1] = max(0, ends[1] - LEAD), min(ends[-1], ends[-2] + TRAIL)
        parts = {name: part[0] for name, part in zip(OUTPUTS, parts)}
        parts["theta"] = np.tanh(parts["theta"])
        return parts, spans


def _heard_from(starts):
    """A word is heard from a frame before the network's own count on, which gives a word's last silence the onset of the next: where
    words of different sentences were put together there, Whisper base wrote 3 of 156 down wrong, at the network's count 33."""
    found = starts[:1]
    for start in starts[1:-1]:
        found.append(max(found[-1] + 1, start - 1))
    return found + starts[-1:]


def _network():
    """hibari's network with one more output: how long each phoneme lasts."""
    path = Path(hibari.__file__).parent / "assets" / "hibari.onnx"

    def field(number, content):
        size, rest = b"", len(content)
        while rest > 127:
            size, rest = size + bytes([rest & 127 | 128]), rest >> 7
        return bytes([number << 3 | 2]) + size + bytes([rest]) + content

    # Messages of protobuf that stand one behind the other are one message: to the model's graph (7) an output (12) is added, its
    # name (1) and its type (2), a tensor (1) of int64.
    added = field(7, field(12, field(1, DURATIONS.encode()) + field(2, field(1, b"\x08\x07"))))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path.read_bytes() + added, options, providers=["CPUExecutionProvider"])


def _hops(count):
    return max(1, round(count / HOPS + LONGER)) * HOPS


def _warped(parts, begin, end, hops):
    """Hops `begin` to `end` made so many."""
    last = parts["f0"].shape[-1] - 1
    at = np.clip(begin + (np.arange(hops) + 0.5) * (end - begin) / hops - 0.5, 0, last)
    low, nearest = np.floor(at).astype(int), np.round(at).astype(int)
    high, share = np.minimum(low + 1, last), (at - low).astype(np.float32)
    found = {name: parts[name][..., low] * (1 - share) + parts[name][..., high] * share for name in ("lh", "ln", "lr", "f0")}
    both = (parts["f0"][low] > VOICED) & (parts["f0"][high] > VOICED)
    found["f0"] = np.where(both, found["f0"], parts["f0"][nearest])
    # What turns is not mixed.
    return found | {name: parts[name][..., nearest] for name in ("theta", "phi")}


def _typical(heard, places):
    """A word as it is said in several sentences: of the length in the middle, the mean of what may be mixed."""
    spans = [spans[place] for (_, spans), place in zip(heard, places)]
    lengths = np.array([end - begin for begin, end in spans])
    middle = int(np.argsort(lengths, kind="stable")[len(lengths) // 2])
    all_ = [_warped(parts, *span, _hops(lengths[middle])) for (parts, _), span in zip(heard, spans)]
    found = dict(all_[middle])
    for name in ("lh", "ln", "lr", "theta"):
        found[name] = np.mean([one[name] for one in all_], 0)
    return found


def _blended(own, known):
    """A word as it is in a sentence where it begins and ends, as it always is between, with its own melody throughout."""
    hops = known["f0"].shape[-1]
    place = np.arange(hops)
    away = np.minimum(place, hops - 1 - place) + 1
    share = np.clip((away - EDGE[0]) / (EDGE[1] - EDGE[0]), 0, 1).astype(np.float32)
    found = {name: own[name] * (1 - share) + known[name] * share for name in ("lh", "ln", "lr", "theta")}
    return found | {"phi": np.where(share > 0.5, known["phi"], own["phi"]), "f0": known["f0"]}


def _sound(parts, starts, seed):
    """As hibari's own `dsp.synth`, but that periods begin anew with words, and noise with frames."""
    hops, bins = parts["f0"].shape[-1], parts["lh"].shape[0]
    f0 = parts["f0"] * STRETCH
    spectrum = dsp.stft(np.concatenate([dsp.pulses(f0[a:b]) for a, b in zip(starts, starts[1:])]), hops)

    def turned(level, angle):
        return dsp.ex(level) * np.exp(1j * angle).astype(np.complex64)

    noise = np.random.default_rng(seed).standard_normal((bins, 2 * HOPS), dtype=np.float32).view(np.complex64)
    spectrum = spectrum * turned(parts["lh"], np.pi * parts["theta"])
    spectrum = spectrum + np.tile(noise, (1, hops // HOPS)) * dsp.ex(parts["ln"]) + turned(parts["lr"], parts["phi"])
    return dsp.ola(spectrum.astype(np.complex64))

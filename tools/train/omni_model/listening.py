"""The row that listens (arXiv 2410.11190, section 3.4): it reads the microphone, frame by frame of the codec, and says of each
frame whether a command has just been said.

A column holds a frame's seven codes in the seven audio layers, with no delay, and a pad in the text layer. The row begins with
a column of pads over `n-irq`. At a frame's column the text head's two ids of network.STATES are the answer. Every AGAIN frames
the row is begun anew and reads the last AGAIN frames again, so that each frame but the first few is judged with AGAIN to
2 AGAIN - 1 frames before it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from synthesis.talk import COMMANDS
from torch.nn import functional

from .layout import IGNORED
from .network import LAYERS, states

INTERRUPTS, GOES_ON = 0, 1  # places in network.STATES
AGAIN = 24
WINDOW = 2 * AGAIN
AVERAGE = 2  # frames whose mean decides
RATE, FRAME = 24_000, 2048
# Seconds from a command's end at which the frame's end says so, and from when on it may. The codec hears 0.21 s beyond a
# frame's end before it has its codes: later, a command could not be heard within 0.3 s.
FIRM = (-0.06, 0.50)
FREE = -0.25
# Seconds after it was heard in which a command is not heard again.
REFRACTORY = 1.0


@dataclass
class Windows:
    codes: torch.Tensor  # [rows, frames, 7]
    wanted: torch.Tensor  # [rows, frames]: INTERRUPTS, GOES_ON or IGNORED


def ends(frames):
    """Seconds at which frames end."""
    return (np.arange(frames) + 1) * FRAME / RATE


def labels(commands, frames):
    """What is wanted of each frame; commands: the seconds at which they end."""
    found, times = np.full(frames, GOES_ON, np.int8), ends(frames)
    for end in commands:
        found[(times >= end + FREE) & (times < end + FIRM[0])] = IGNORED
    for end in commands:
        found[(times >= end + FIRM[0]) & (times <= end + FIRM[1])] = INTERRUPTS
    return found


def embedded(model, codes):
    """Inputs [rows, 1 + frames, n_embd] of windows of codes [rows, frames, 7]."""
    config, table = model.config, model.transformer["wte"].weight
    rows = len(codes)
    shift = config.text_vocab_size + config.audio_vocab_size * torch.arange(LAYERS, device=codes.device)
    first = torch.full((rows, 1, LAYERS), config.audio["pad"], device=codes.device)
    audio = shift + torch.cat([first, codes.long()], 1)
    text = torch.full((rows, 1 + codes.shape[1], 1), config.text["pad"], device=codes.device)
    text[:, 0] = states(config)["n-irq"]
    ids = torch.cat([audio, text], 2)
    return functional.embedding_bag(ids.flatten(0, 1), table, mode="sum").unflatten(0, (rows, -1)) / (LAYERS + 1)


class Sounds:
    """Sounds of equal length as codes [sounds, frames, 7], and what is wanted of each frame [sounds, frames]."""

    def __init__(self, codes, wanted):
        self.codes, self.wanted = codes, wanted

    def drawn(self, count, generator):
        """Windows of sounds, a third of them from the beginning on. Elsewhere the first frames are only what was before."""
        device, frames = self.codes.device, self.codes.shape[1]
        most = max(0, frames - WINDOW)
        chosen = torch.randint(len(self.codes), (count, 1), generator=generator, device=device)
        first = torch.rand(count, 1, generator=generator, device=device) * 1.5 - 0.5
        first = (first.clamp_min(0) * (most + 1)).long().clamp_max(most)
        place = torch.arange(min(WINDOW, frames), device=device)
        wanted = self.wanted[chosen, first + place].long()
        wanted = torch.where((first > 0) & (place < AGAIN), IGNORED, wanted)
        return Windows(self.codes[chosen, first + place].long(), wanted)


@torch.no_grad()
def probabilities(model, codes, most=512):
    """Of an interruption, for each frame of sounds [sounds, frames, 7]: as the row that listens would say it."""
    first = states(model.config)["irq"]
    head = model.transformer["wte"].weight[first : first + 2]
    found = []
    for begin in range(0, codes.shape[1], AGAIN):
        if begin and begin + AGAIN >= codes.shape[1]:
            break
        window = codes[:, begin : begin + WINDOW]
        parts = [model.hidden(embedded(model, part))[:, 1:] for part in window.split(most)]
        said = functional.linear(torch.cat(parts).float(), head).softmax(-1)[..., INTERRUPTS]
        found.append(said if begin == 0 else said[:, AGAIN:])
    return torch.cat(found, 1)


def averaged(said):
    """Means over the last AVERAGE frames; before the first there is silence."""
    return functional.avg_pool1d(functional.pad(said[:, None], (AVERAGE - 1, 0)), AVERAGE, stride=1)[:, 0]


def heard(scores, threshold):
    """(sound, frame) of each time that a command is heard: again only after the score was low, and not at once."""
    rest, found = int(REFRACTORY * RATE / FRAME), []
    for sound in torch.nonzero((scores >= threshold).any(1)).flatten().tolist():
        is_armed, silent_until = True, 0
        for frame, score in enumerate(scores[sound].tolist()):
            is_armed |= score < threshold / 2
            if score >= threshold and is_armed:
                is_armed = False
                if frame >= silent_until:
                    silent_until = frame + rest
                    found.append((sound, frame))
    return found


def counted(scores, wanted, threshold):
    """Commands that are heard, commands, and times that something is heard where none was."""
    right, false = set(), 0
    runs = commands(wanted)
    for sound, frame in heard(scores, threshold):
        # Each command stands where its frames are asked for, those before which may already say so included.
        of = [number for number, (where, first, last) in enumerate(runs) if where == sound and first <= frame <= last]
        right.update(of)
        false += not of
    return len(right), len(runs), false


def commands(wanted):
    """(sound, first frame, last frame) of each command: where it should be heard, and where it may."""
    found = []
    for sound, row in enumerate(wanted.tolist()):
        first = None
        for frame, value in enumerate([*row, GOES_ON]):
            if value != GOES_ON and first is None:
                first = frame
            elif value == GOES_ON and first is not None:
                # The mean comes a frame later.
                found.append((sound, first, frame - 1 + AVERAGE - 1))
                first = None
    return found


def area(scores, wanted):
    """Under the curve of right against false frames: how often a frame that interrupts has more than one that does not."""
    asked = wanted != IGNORED
    order = scores[asked].double().argsort()
    ranks = torch.empty(len(order), dtype=torch.double, device=order.device)
    ranks[order] = torch.arange(1, len(order) + 1, dtype=torch.double, device=order.device)
    is_right = wanted[asked] == INTERRUPTS
    right, wrong = int(is_right.sum()), int((~is_right).sum())
    return float((ranks[is_right].sum() - right * (right + 1) / 2) / max(1, right * wrong))


def threshold_for(scores, wanted, hours, an_hour=1.0):
    """The lowest at which there are so few false alarms an hour; the highest where there are always more."""
    for step in range(10, 50):
        if counted(scores, wanted, step / 50)[2] <= an_hour * hours:
            return step / 50
    return 0.99


def hours(codes):
    return codes.shape[0] * codes.shape[1] * FRAME / RATE / 3600


def measured(model, known, unseen):
    """Figures by name. known: sounds that were not trained on, of voices that were, which the threshold is chosen by."""
    scores = averaged(probabilities(model, unseen.codes))
    threshold = chosen(model, known)
    right, total, false = counted(scores, unseen.wanted, threshold)
    return {
        "listener: frames told apart": area(scores, unseen.wanted), "listener: commands heard": right / max(1, total),
        "listener: false alarms an hour": false / hours(unseen.codes), "listener: threshold": threshold,
    }  # fmt: skip


def chosen(model, known):
    """The threshold."""
    return threshold_for(averaged(probabilities(model, known.codes)), known.wanted, hours(known.codes))


def release(threshold):
    """What listener.json says, as the node listener-detector reads it."""
    return {"format": "antiphon-listener-1", "language": "en", "commands": COMMANDS, "threshold": round(threshold, 3),
            "average": AVERAGE, "frames": AGAIN}  # fmt: skip

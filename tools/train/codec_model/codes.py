"""Speech as codes, for those who train on them:

codec = codes.load(folder)
frames = codes.encode(codec, clips)
"""

import torch

from . import export


def load(folder, device="cpu"):
    """The codec of a release folder, as export.py or hubertsiuzdak/snac_24khz has it."""
    return export.read(folder).to(device)


def order(strides):
    """(level, index within the frame) of each code of a frame: the tree of its codes, each before its finer ones.

    With strides 4, 2, 1 the levels are 0; 1, 2, 2; 1, 2, 2: Mini-Omni2's audio layers.
    """
    found = []

    def visit(level, index):
        found.append((level, index))
        if level + 1 < len(strides):
            finer = strides[level] // strides[level + 1]
            for child in range(finer):
                visit(level + 1, index * finer + child)

    visit(0, 0)
    return found


def frames_of(levels, strides):
    """The levels' codes, [batch, codes] each, as frames [batch, frames, 7]."""
    parts = [codes.unflatten(1, (-1, strides[0] // stride)) for codes, stride in zip(levels, strides)]
    return torch.stack([parts[level][:, :, index] for level, index in order(strides)], dim=2)


def levels_of(frames, strides):
    """The way back."""
    places = order(strides)
    columns = [[column for column, (each, _) in enumerate(places) if each == level] for level in range(len(strides))]
    return [frames[:, :, each].flatten(1) for each in columns]


def encode(codec, clips, seconds=None):
    """
    Codes of clips, one-dimensional float arrays or tensors at the codec's rate, in the order that they came in.

    Each is encoded exactly as if it were alone, filled up with silence to whole frames: only clips of as many frames go
    through the network together, about so many seconds at once; if none are given, as suits the device.
    Returns int16 tensors [frames, 7], on the CPU.
    """
    frame, device = codec.shape.frame, next(codec.parameters()).device
    # What a processor's caches do not hold takes it three times as long.
    seconds = seconds or (1 if device.type == "cpu" else 240)
    groups = {}
    for index, clip in enumerate(clips):
        groups.setdefault(-(-len(clip) // frame), []).append(index)
    found = [torch.zeros(0, len(order(codec.shape.vq_strides)), dtype=torch.int16)] * len(clips)
    for count, members in groups.items():
        most = max(1, int(seconds * codec.shape.sampling_rate) // max(1, count * frame))
        for start in range(0, len(members) if count else 0, most):
            some = members[start : start + most]
            batch = torch.zeros(len(some), count * frame)
            for row, index in enumerate(some):
                clip = torch.as_tensor(clips[index], dtype=torch.float32)
                batch[row, : len(clip)] = clip
            # In full precision: close calls fall as they do elsewhere.
            with torch.backends.cudnn.flags(allow_tf32=False, benchmark=False):
                levels = codec.encode(batch.to(device))
            frames = frames_of(levels, codec.shape.vq_strides).to(torch.int16).cpu()
            for index, each in zip(some, frames):
                found[index] = each.clone()
    return found


def decode(codec, frames, noise=0.0):
    """[frames, 7] to samples, on the CPU."""
    levels = levels_of(frames[None].long().to(next(codec.parameters()).device), codec.shape.vq_strides)
    return codec.decode(levels, noise)[0].float().cpu()

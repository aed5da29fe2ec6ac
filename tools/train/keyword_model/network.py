"""The network: causal convolutions over time, which may be run frame by frame."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    bands: int = 32
    channels: int = 80
    # Frames of the first convolution, which steps by two: from here on a row stands for 20 ms.
    first: int = 4
    taps: int = 5
    dilations: tuple = (1, 2, 4, 8, 1, 2, 4)
    # Of the running mean, per frame.
    smoothing: float = 1 / 150
    classes: int = 4


class Block(nn.Module):
    """x + pointwise(depthwise(x)), rectified."""

    def __init__(self, shape, dilation):
        super().__init__()
        self.past = (shape.taps - 1) * dilation
        self.depthwise = nn.Conv1d(shape.channels, shape.channels, shape.taps, dilation=dilation, groups=shape.channels)
        self.pointwise = nn.Conv1d(shape.channels, shape.channels, 1, bias=False)
        self.norm = nn.BatchNorm1d(shape.channels)

    def forward(self, x):
        y = self.depthwise(functional.pad(x, (self.past, 0)))
        return functional.relu(x + self.norm(self.pointwise(y)))


class Network(nn.Module):
    def __init__(self, shape=Shape()):
        super().__init__()
        self.shape = shape
        self.first = nn.Conv1d(2 * shape.bands, shape.channels, shape.first, stride=2, bias=False)
        self.norm = nn.BatchNorm1d(shape.channels)
        self.blocks = nn.ModuleList(Block(shape, dilation) for dilation in shape.dilations)
        self.head = nn.Conv1d(shape.channels, shape.classes, 1)

    def normalised(self, mel):
        """[batch, frames, bands] to [batch, 2 bands, frames]: the level itself, and what stands out of its running mean,
        which begins at the first frame."""
        count, keep = mel.shape[1], 1 - self.shape.smoothing
        age = torch.arange(count)[:, None] - torch.arange(count)[None, :]
        weights = torch.where(age >= 0, self.shape.smoothing * keep ** age.clamp(min=0).double(), 0.0)
        weights[:, 0] = keep ** torch.arange(count).double()
        mean = weights.to(mel.dtype) @ mel
        return torch.cat([(mel + 3) / 5, (mel - mean) / 3], dim=2).transpose(1, 2)

    def forward(self, mel):
        """[batch, frames, bands] to logits [batch, classes, frames / 2]."""
        # The first convolution's row r ends with frame 2 r + 1.
        x = functional.pad(self.normalised(mel), (self.shape.first - 2, 0))
        x = functional.relu(self.norm(self.first(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def folded(network):
    """The weights with the norms folded in, by the names that the file has; rows of a matrix are outputs."""

    def scale(norm):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return factor, norm.bias - norm.running_mean * factor

    factor, bias = scale(network.norm)
    # [outputs, taps, inputs]: the order in which frames lie one after the other.
    weights = {
        "first.weight": (network.first.weight * factor[:, None, None]).transpose(1, 2),
        "first.bias": bias,
        "head.weight": network.head.weight[:, :, 0],
        "head.bias": network.head.bias,
    }
    for index, block in enumerate(network.blocks):
        factor, bias = scale(block.norm)
        # The depthwise bias passes through the pointwise matrix.
        pointwise = block.pointwise.weight[:, :, 0] * factor[:, None]
        weights[f"blocks.{index}.depthwise.weight"] = block.depthwise.weight[:, 0, :].T
        weights[f"blocks.{index}.pointwise.weight"] = pointwise
        weights[f"blocks.{index}.pointwise.bias"] = bias + pointwise @ block.depthwise.bias
    return {name: value.detach().float().contiguous() for name, value in weights.items()}

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


class Depthwise(torch.autograd.Function):
    """Each channel convolved with taps of its own, over the past: x [rows, batch, channels], weight [taps, channels].

    PyTorch's own takes several times as long where dilation is not 1."""

    @staticmethod
    def forward(context, x, weight, dilation):
        taps, rows = len(weight), len(x)
        past = functional.pad(x, (0, 0, 0, 0, (taps - 1) * dilation, 0))
        y = past[:rows] * weight[0]
        for tap in range(1, taps):
            y.addcmul_(past[tap * dilation : tap * dilation + rows], weight[tap])
        context.save_for_backward(past, weight)
        context.dilation = dilation
        return y

    @staticmethod
    def backward(context, gradient):
        past, weight = context.saved_tensors
        dilation, taps, rows = context.dilation, len(weight), len(gradient)
        of_past, of_weight = torch.zeros_like(past), torch.empty_like(weight)
        for tap in range(taps):
            place = slice(tap * dilation, tap * dilation + rows)
            of_past[place].addcmul_(gradient, weight[tap])
            of_weight[tap] = (gradient * past[place]).sum((0, 1))
        return of_past[(taps - 1) * dilation :], of_weight, None


class Block(nn.Module):
    """x + pointwise(depthwise(x)), rectified; x [rows, batch, channels]."""

    def __init__(self, shape, dilation):
        super().__init__()
        self.dilation = dilation
        self.depthwise = nn.Parameter(torch.randn(shape.taps, shape.channels) * shape.taps**-0.5)
        self.pointwise = nn.Linear(shape.channels, shape.channels, bias=False)
        self.norm = nn.BatchNorm1d(shape.channels)

    def forward(self, x):
        y = self.pointwise(Depthwise.apply(x, self.depthwise, self.dilation))
        return functional.relu(x + self.norm(y.flatten(0, 1)).view_as(x))


class Network(nn.Module):
    def __init__(self, shape=Shape()):
        super().__init__()
        self.shape = shape
        self.first = nn.Linear(shape.first * 2 * shape.bands, shape.channels, bias=False)
        self.norm = nn.BatchNorm1d(shape.channels)
        self.blocks = nn.ModuleList(Block(shape, dilation) for dilation in shape.dilations)
        self.head = nn.Linear(shape.channels, shape.classes)

    def forward(self, mel):
        """[batch, frames, bands] to logits [batch, classes, frames / 2]."""
        x = stacked(mel, self.shape)
        y = self.norm(self.first(x).flatten(0, 1))
        x = functional.relu(y).view(*x.shape[:2], -1)
        for block in self.blocks:
            x = block(x)
        return self.head(x).permute(1, 2, 0)


def normalised(mel, shape):
    """[batch, frames, bands] to [batch, frames, 2 bands]: the level itself, and what stands out of its running mean, which
    begins at the first frame."""
    count, keep = mel.shape[1], 1 - shape.smoothing
    age = torch.arange(count)[:, None] - torch.arange(count)[None, :]
    weights = torch.where(age >= 0, shape.smoothing * keep ** age.clamp(min=0).double(), 0.0)
    weights[:, 0] = keep ** torch.arange(count).double()
    return torch.cat([(mel + 3) / 5, (mel - weights.to(mel.dtype) @ mel) / 3], dim=2)


def stacked(mel, shape):
    """Row r holds the frames up to 2 r + 1, the oldest first: [rows, batch, first * 2 bands]."""
    frames = functional.pad(normalised(mel, shape), (0, 0, shape.first - 2, 0))
    return frames.unfold(1, shape.first, 2).permute(1, 0, 3, 2).flatten(2)


def folded(network):
    """The weights with the norms folded in, by the names that the file has; rows of a matrix are outputs."""

    def fold(linear, norm):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return linear.weight * factor[:, None], norm.bias - norm.running_mean * factor

    shape, weights = network.shape, {}
    first, weights["first.bias"] = fold(network.first, network.norm)
    weights["first.weight"] = first.view(shape.channels, shape.first, 2 * shape.bands)
    for index, block in enumerate(network.blocks):
        name = f"blocks.{index}.pointwise"
        weights[f"blocks.{index}.depthwise.weight"] = block.depthwise
        weights[f"{name}.weight"], weights[f"{name}.bias"] = fold(block.pointwise, block.norm)
    weights["head.weight"], weights["head.bias"] = network.head.weight, network.head.bias
    return {name: value.detach().float().contiguous() for name, value in weights.items()}

"""Writes the trained network as the node reads it, and the goldens that hold the node to PyTorch's numbers."""

import json

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from synthesis import engines, noise, signal
from synthesis.talk import COMMANDS

from . import training
from .features import Mel
from .network import Shape, folded, stacked

FORMAT = "antiphon-keyword-1"


def metadata(threshold):
    """Every value a text, as safetensors has it."""
    mel, shape = Mel(), Shape()
    values = {
        "format": FORMAT, "language": "en", "commands": "|".join(COMMANDS), "threshold": threshold, "average": 3,
        "rate": mel.rate, "window": mel.window, "hop": mel.hop, "fft": mel.fft, "bands": mel.bands, "low": mel.low,
        "high": mel.high, "floor": mel.floor, "smoothing": shape.smoothing, "channels": shape.channels,
        "first": shape.first, "taps": shape.taps, "dilations": " ".join(map(str, shape.dilations)),
    }  # fmt: skip
    return {name: str(value) for name, value in values.items()}


def write(work, path, threshold):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(folded(training.trained(work)), path, metadata=metadata(threshold))
    path.chmod(0o644)
    print(f"{path}: {path.stat().st_size} bytes")


class Exported:
    """The network as the file has it, in double precision: what the node is compared with."""

    def __init__(self, path):
        with safe_open(path, "pt") as file:
            self.weights = {name: file.get_tensor(name).double() for name in file.keys()}
        self.shape = Shape()

    def __call__(self, mel):
        """[frames, bands] to probabilities [frames / 2, classes]."""
        shape, w = self.shape, self.weights
        x = stacked(mel[None].double(), shape)[:, 0]
        x = torch.relu(x @ w["first.weight"].flatten(1).T + w["first.bias"])
        for index, dilation in enumerate(shape.dilations):
            name = f"blocks.{index}.pointwise"
            y = torch.nn.functional.pad(x.T, ((shape.taps - 1) * dilation, 0))
            taps = w[f"blocks.{index}.depthwise.weight"].T[:, None]
            y = torch.nn.functional.conv1d(y, taps, dilation=dilation, groups=shape.channels).T
            x = torch.relu(x + y @ w[f"{name}.weight"].T + w[f"{name}.bias"])
        return torch.softmax(x @ w["head.weight"].T + w["head.bias"], dim=1)


def goldens(model, folder):
    """A sound with each command in it, and PyTorch's features and probabilities of it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    pieces = [np.zeros(8_000, np.float32)]
    for command, voice in zip(COMMANDS, ["rms", "slt", "rms"]):
        clip = signal.trimmed(engines.spoken(command, engines.Voice("flite", voice)))
        pieces += [signal.scaled(clip, -22), np.zeros(11_200, np.float32)]
    sound = np.concatenate(pieces)
    samples = signal.pcm(sound + noise.coloured(rng, len(sound), 3) * np.float32(0.001))
    mel = Mel()(torch.from_numpy(samples / 32768.0).double())
    probabilities = Exported(model)(mel)
    arrays = {
        "samples": samples,
        "features": mel.float().numpy(),
        "probabilities": probabilities.float().numpy(),
    }
    file = folder / "commands.safetensors"
    save_arrays(arrays, file, metadata={"commands": json.dumps(COMMANDS)})
    file.chmod(0o644)
    ends = np.cumsum([len(piece) for piece in pieces])[1::2]
    print(f"commands end at {[round(end / 16) for end in ends]} ms")

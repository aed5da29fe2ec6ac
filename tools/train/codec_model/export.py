"""Writes the release layout, config.json and pytorch_model.bin, as hubertsiuzdak/snac_24khz has it, and reads it."""

import json
import os
import pickle
from pathlib import Path

import torch
from torch import nn

from . import settings
from .network import Codec, Codebook

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
NORMS = [("parametrizations.weight.original0", "parametrizations.weight.original1"), ("weight_g", "weight_v")]


def convolutions(codec):
    return [name for name, module in codec.named_modules() if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d))]


def released(codec, kind=torch.float16):
    """The release's state dict: each matrix as directions and their lengths, w = g v / |v|."""
    state, layers = {}, set(convolutions(codec))
    unwanted = {
        f"{name}.{each}" for name, m in codec.named_modules() if isinstance(m, Codebook) for each in ("counts", "sums")
    }
    for name, value in codec.state_dict().items():
        layer = name.removesuffix(".weight")
        if name in unwanted:
            continue
        if layer in layers and name.endswith(".weight"):
            # What is stored in v has a length of about 1, wherever w is in half precision's range.
            length = value.double().flatten(1).norm(dim=1)[:, None, None]
            direction = (value.double() / length.clamp(min=1e-12)).to(kind)
            state[f"{layer}.{NORMS[0][0]}"] = length.to(kind)
            state[f"{layer}.{NORMS[0][1]}"] = direction
        else:
            state[name] = value.to(kind)
    return {name: value.cpu().contiguous().clone() for name, value in state.items()}


def write(codec, folder, kind=torch.float16):
    """The configuration comes last: where it is, all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{WEIGHTS}.part"
    torch.save(released(codec, kind), part)
    os.replace(part, folder / WEIGHTS)
    part = folder / f"{CONFIG}.part"
    part.write_text(json.dumps(codec.shape.config(), indent=2) + "\n")
    os.replace(part, folder / CONFIG)
    print(f"{folder}: {(folder / WEIGHTS).stat().st_size} bytes, {sum(p.numel() for p in codec.parameters())} weights")


def read_shape(folder):
    file = Path(folder) / CONFIG
    try:
        values = json.loads(file.read_text())
    except OSError as error:
        raise settings.WrongSetting(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise settings.WrongSetting(f"{file}: not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("attn_window_size") is not None or not values.get("depthwise"):
        raise settings.WrongSetting(f"{file}: expected depthwise convolutions and no attention")
    known = {name: values[name] for name in vars(settings.Shape()) if name in values}
    shape = settings.checked(settings.Shape(), known, str(file))
    settings.check_shape(shape, str(file))
    return shape


def read(folder):
    """
    The codec of a release folder, in single precision, ready to be used.

    Raises WrongSetting for files that are not there, or hold something else.
    """
    shape, file = read_shape(folder), Path(folder) / WEIGHTS
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise settings.WrongSetting(f"{file}: {error.strerror}") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise settings.WrongSetting(f"{file}: no PyTorch file of tensors: {str(error).splitlines()[0]}") from None
    codec = Codec(shape)
    state = codec.state_dict()
    layers = set(convolutions(codec))
    for name, value in state.items():
        layer = name.removesuffix(".weight")
        if name.endswith((".counts", ".sums")):
            continue
        if layer in layers and name.endswith(".weight"):
            found = folded(stored, layer)
        else:
            found = stored.get(name)
        if found is None or found.shape != value.shape:
            shape_found = "none" if found is None else list(found.shape)
            raise settings.WrongSetting(f"{file}: {name}: expected {list(value.shape)}, found {shape_found}")
        value.copy_(found.float())
    return codec.eval().requires_grad_(False)


def folded(stored, layer):
    for g, v in NORMS:
        if f"{layer}.{g}" in stored and f"{layer}.{v}" in stored:
            lengths, directions = stored[f"{layer}.{g}"].float(), stored[f"{layer}.{v}"].float()
            norms = directions.flatten(1).norm(dim=1).clamp(min=1e-12)
            return directions * (lengths.flatten() / norms)[:, None, None]
    return stored.get(f"{layer}.weight")

"""The eyes of the release: the vision half of CLIP, from the TorchScript archive that OpenAI published, ViT-B-32.pt."""

import pickle
import zipfile

import torch
from mini_omni2.vision import Vision

from .records import WrongData

MOST = 1 << 31  # bytes of an archive's tensor
TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "DoubleStorage": torch.float64,
}


class _Module:
    """What stands for any module of an archive: its values, and none of its code."""

    def __setstate__(self, state):
        self.values = state


def _tensor(storage, offset, shape, strides, *_):
    return torch.as_strided(storage, tuple(shape), tuple(strides), offset)


class _Tensors(pickle.Unpickler):
    """Reads modules and tensors, and refuses everything else by name: nothing of an archive is executed."""

    def __init__(self, file, archive, root):
        super().__init__(file)
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        if module.startswith("__torch__"):
            return type(name, (_Module,), {})
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return lambda value, _: value
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor and no module")

    def persistent_load(self, key):
        _, kind, name, *_ = key
        entry = self.archive.getinfo(f"{self.root}/data/{name}")
        if entry.file_size > MOST:
            raise pickle.UnpicklingError(f"tensor {name} has {entry.file_size} bytes")
        data = self.archive.read(entry)
        return torch.frombuffer(bytearray(data), dtype=kind) if data else torch.zeros(0, dtype=kind)


def tensors(path):
    """Tensors by name of a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(inside) != 1:
                raise WrongData(f"{path}: expected a TorchScript archive, found no data.pkl in it")
            with archive.open(inside[0]) as file:
                top = _Tensors(file, archive, inside[0].removesuffix("/data.pkl")).load()
    except OSError as error:
        raise WrongData(f"{path}: {error.strerror}") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ValueError, TypeError, EOFError, RuntimeError) as error:
        raise WrongData(f"{path}: no TorchScript archive of tensors: {error}") from None
    found = {}

    def walk(module, prefix):
        for name, value in getattr(module, "values", {}).items():
            if isinstance(value, torch.Tensor):
                found[prefix + name] = value
            elif isinstance(value, _Module):
                walk(value, f"{prefix}{name}.")

    walk(top, "")
    return found


def read(path, out):
    """The vision transformer, in single precision; out: the width that the language model's adapter expects."""
    found = {name.removeprefix("visual."): value.float() for name, value in tensors(path).items() if name.startswith("visual.")}
    try:
        width, _, patch, _ = found["conv1.weight"].shape
        grid = round((len(found["positional_embedding"]) - 1) ** 0.5)
        layers = len({name.split(".")[2] for name in found if name.startswith("transformer.resblocks.")})
        vision = Vision(grid * patch, patch, width, layers, found["proj"].shape[1])
        vision.load_state_dict(found)
    except (KeyError, RuntimeError, ValueError) as error:
        raise WrongData(f"{path}: its tensors are not those of a CLIP vision transformer: {error}") from None
    if found["proj"].shape[1] != out or grid != 7:
        what = f"{grid * grid} patches of {found['proj'].shape[1]} numbers"
        raise WrongData(f"{path}: expected 49 patches of {out} numbers, as `language.vision` says, found {what}")
    return vision.eval().requires_grad_(False)

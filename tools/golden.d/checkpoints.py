#!/usr/bin/env python3
"""Makes the small checkpoints of Tests/ModelKitTests/Golden/Checkpoints with PyTorch, safetensors and onnx, and what they
hold.

A developer's tool: tests only read what it wrote. Needs a Python environment with torch, safetensors, onnx and numpy.
"""

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import nn

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "Tests" / "ModelKitTests" / "Golden" / "Checkpoints"
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
expected = {}


def expect(name, tensors, settings=None):
    """Notes what a checkpoint holds: type, shape and numbers as floats of each tensor."""
    entries = [
        {
            "name": key,
            "type": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "values": tensor.detach().double().flatten().tolist(),
        }
        for key, tensor in tensors.items()
    ]
    expected[name] = {"tensors": entries, "settings": settings or {}}


def flat():
    """Every dtype, a shared storage, a transposed view, a slice that starts within its storage, an empty tensor."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
    tensors = {
        "base": base,
        "tied": base,
        "transposed": base.t(),
        "columns": base[1:3, 2:5],
        "steps": base.flatten()[1::5],
        "cube": base.reshape(2, 3, 4).permute(2, 0, 1),
        "wide": torch.tensor([1.5]).expand(3, 4),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(-2.5),
        "half": torch.tensor([1, -2, 2**-24, 65504], dtype=torch.float16),
        "brain": torch.tensor([[1, -2], [3.140625, 2.0**100]], dtype=torch.bfloat16),
        "brain.transposed": (torch.arange(6) / 4).bfloat16().reshape(2, 3).t(),
        "double": torch.tensor([0.1, 1e300 / 1e290], dtype=torch.float64),
        "long": torch.tensor([1, -(2**20), 2**24]),
        "int": torch.tensor([7, -7], dtype=torch.int32),
        "short": torch.tensor([300, -300], dtype=torch.int16),
        "char": torch.tensor([-128, 127], dtype=torch.int8),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "flag": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.tensor([0.25, 0.5])),
    }
    torch.save(tensors, FOLDER / "flat.pth")
    expect("flat.pth", tensors)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.epsilon = 1e-5
        self.title = "block"
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(width, 2 * width), c_proj=nn.Linear(2 * width, width)))
        self.register_buffer("mask", torch.full((2, 2), -1e4).triu_(1))

    def forward(self, x):
        return x + self.mlp(self.norm(x)) + torch.tensor([0.5, 1.5, -1.0, 2.0], dtype=x.dtype)


class Tower(nn.Module):
    """Nested like CLIP's vision tower."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.visual = nn.Module.__new__(nn.Sequential)
        nn.Module.__init__(self.visual)
        self.visual.add_module("conv1", nn.Conv2d(3, 4, 2, 2, bias=False))
        self.resblocks = nn.ModuleList(Block(4) for _ in range(2))

    def forward(self, x):
        x = self.visual(x).flatten(2).permute(0, 2, 1)
        for block in self.resblocks:
            x = block(x)
        return x * self.scale


def nested():
    """A dictionary of settings beside the state dict, as Whisper's releases have it."""
    state = Tower().half().state_dict()
    torch.save({"dims": {"n_mels": 80, "ratio": 0.5, "kind": "tower", "tied": True}, "model_state_dict": state}, FOLDER / "nested.pt")
    settings = {"dims.n_mels": "80", "dims.ratio": "0.5", "dims.kind": "'tower'", "dims.tied": "true"}
    expect("nested.pt", state, settings)


class Numbered(pickle.Pickler):
    """Pickles as lit-gpt's incremental writer does: protocol 5, and storages that have numbers for names."""

    def __init__(self, file, writer):
        super().__init__(file, protocol=5)
        self.writer = writer
        self.keys = {}

    def persistent_id(self, value):
        if not isinstance(value, torch.storage.TypedStorage):
            return None
        bytes = value.untyped()
        if bytes.data_ptr() not in self.keys:
            self.keys[bytes.data_ptr()] = len(self.keys)
            self.writer.write_record(f"data/{self.keys[bytes.data_ptr()]}", bytes, bytes.nbytes())
        kind = getattr(torch, value.pickle_storage_type())
        return ("storage", kind, self.keys[bytes.data_ptr()], "cpu", len(value))


def incremental():
    weight = (torch.arange(12) / 4).bfloat16().reshape(3, 4)
    tensors = {
        "transformer.wte.weight": weight,
        "lm_head.weight": weight,
        "transformer.h.0.attn.attn.bias": torch.tensor([0.5, -0.5]),
        "transformer.ln_f.weight": nn.Parameter(torch.ones(4)),
    }
    writer = torch._C.PyTorchFileWriter(str(FOLDER / "lit_model.pth"))
    buffer = io.BytesIO()
    Numbered(buffer, writer).dump(OrderedDict(tensors))
    writer.write_record("data.pkl", buffer.getvalue(), len(buffer.getvalue()))
    writer.write_end_of_file()
    torch.load(FOLDER / "lit_model.pth", weights_only=False)  # PyTorch reads it as well
    expect("lit_model.pth", tensors)
    torch.save({"weight": weight}, FOLDER / "protocol-4.pth", pickle_protocol=4)
    expect("protocol-4.pth", {"weight": weight})


def script():
    """The same modules as TorchScript, traced (as CLIP's releases are) and scripted."""
    tower = Tower().eval()
    torch.jit.trace(tower, torch.zeros(1, 3, 4, 4)).half().save(FOLDER / "traced.pt")
    half = {key: tensor.half() for key, tensor in tower.state_dict().items()}
    constant = torch.tensor([0.5, 1.5, -1.0, 2.0])
    expect("traced.pt", {**half, "CONSTANTS.c0": constant})
    torch.jit.script(Block(4)).save(FOLDER / "scripted.pt")
    scripted = torch.jit.load(FOLDER / "scripted.pt")
    expect("scripted.pt", dict(scripted.state_dict()), {"width": "4", "epsilon": "1e-05", "title": "'block'"})


def safetensors():
    tensors = {
        "weight": (torch.arange(12) / 8).reshape(3, 4),
        "half": torch.tensor([1, -2, 0.5], dtype=torch.float16),
        "brain": torch.tensor([[1, -2], [0.5, 8]], dtype=torch.bfloat16),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "long": torch.tensor([[3, -4]]),
        "flag": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 2),
        "scalar": torch.tensor(1.25),
    }
    save_file(tensors, FOLDER / "model.safetensors", metadata={"format": "pt"})
    expect("model.safetensors", tensors, {"format": "'pt'"})
    shards = {"model-00001-of-00002.safetensors": ["weight", "half", "brain"], "model-00002-of-00002.safetensors": ["double", "long"]}
    folder = FOLDER / "sharded"
    folder.mkdir()
    for name, keys in shards.items():
        save_file({key: tensors[key] for key in keys}, folder / name)
    index = {
        "metadata": {"total_size": sum(tensors[key].nbytes for keys in shards.values() for key in keys)},
        "weight_map": {key: name for name, keys in shards.items() for key in keys},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    expect("sharded", {key: tensors[key] for keys in shards.values() for key in keys})


def onnx_branches():
    """Every type as raw bytes, numbers in typed fields, and constants of one name in both branches of a condition."""
    types = {torch.float32: 1, torch.int64: 7, torch.bool: 9, torch.float16: 10, torch.float64: 11, torch.bfloat16: 16}

    def raw(name, tensor):
        data = tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        return onnx.helper.make_tensor(name, types[tensor.dtype], tensor.shape, data, raw=True)

    def constant(name, value):
        return onnx.helper.make_node("Constant", [], [name], value=value)

    weight = (torch.arange(12) / 8).reshape(3, 4)
    tensors = {
        "weight": weight,
        "half": torch.tensor([1, -2, 0.5], dtype=torch.float16),
        "brain": torch.tensor([[1, -2], [0.5, 8]], dtype=torch.bfloat16),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "long": torch.tensor([[3, -4]]),
        "flag": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 2),
    }
    typed = onnx.helper.make_tensor("typed", 1, [2, 2], [0.5, 1.5, -1.0, 2.0])
    branches = {}
    for name, factor in (("then_branch", 2), ("else_branch", 3)):
        nodes = [constant("inner", raw("", factor * weight)), onnx.helper.make_node("Identity", ["inner"], [name])]
        output = onnx.helper.make_tensor_value_info(name, 1, [3, 4])
        branches[name] = onnx.helper.make_graph(nodes, name, [], [output])
    nodes = [
        constant("rate", onnx.helper.make_tensor("", 7, [], [16000])),
        onnx.helper.make_node("Equal", ["given", "rate"], ["same"]),
        onnx.helper.make_node("If", ["same"], ["chosen"], name="choice", **branches),
    ]
    graph = onnx.helper.make_graph(
        nodes, "main", [onnx.helper.make_tensor_value_info("given", 7, [])],
        [onnx.helper.make_tensor_value_info("chosen", 1, [3, 4])],
        [raw(name, tensor) for name, tensor in tensors.items()] + [typed],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, producer_name="antiphon", opset_imports=[onnx.helper.make_opsetid("", 16)])
    onnx.helper.set_model_props(model, {"title": "branches"})
    onnx.checker.check_model(model)
    onnx.save(model, FOLDER / "branches.onnx")
    tensors["typed"] = torch.tensor([[0.5, 1.5], [-1.0, 2.0]])
    tensors["choice.then_branch.inner"], tensors["choice.else_branch.inner"] = 2 * weight, 3 * weight
    expect("branches.onnx", tensors, {"producer_name": "'antiphon'", "title": "'branches'", "rate": "16000"})


class Hostile:
    def __reduce__(self):
        return os.system, ("echo hostile",)


def refused():
    """What must be refused by name."""
    torch.save({"weight": torch.ones(2), "other": Hostile()}, FOLDER / "os-system.pth")
    torch.save(nn.Linear(2, 2), FOLDER / "whole-module.pth")
    torch.save({"weight": torch.ones(2)}, FOLDER / "before-1.6.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(FOLDER / "flat.pth") as source, zipfile.ZipFile(FOLDER / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


if __name__ == "__main__":
    torch.manual_seed(1)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for part in (flat, nested, incremental, script, safetensors, onnx_branches, refused):
        part()
    with open(FOLDER / "expected.json", "w") as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items()) + "\n}\n")
    for path in FOLDER.rglob("*.safetensors"):
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER}: {size} bytes", file=sys.stderr)

"""Writes what was trained in the layout of the release, so that the graphs run it as they run that."""

import copy
import json
import shutil
from pathlib import Path

import torch
import yaml
from mini_omni2.checkpoint import drop_call_stacks
from safetensors.torch import load_file, save

from . import training

MOST = 16_000_000  # bytes of a file
LANGUAGE, INDEX = "lit_model.pth", "model.safetensors.index.json"


def write(folder, model, values, clip, tokenizer, listener=None, codec=None):
    """values: what model_config.yaml says; clip: the eyes, or the file that they came from; tokenizer: the file; listener: what
    listener.json says, the project's addition to the release's files, where the model has learned to listen; codec: the folder of
    that whose codes the model says, where it is to come along."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_config.yaml").write_text(yaml.dump(values))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    if listener:
        (folder / "listener.json").write_text(json.dumps(listener, indent=1) + "\n")
    language(folder, model)
    if isinstance(clip, Path):
        shutil.copyfile(clip, folder / "ViT-B-32.pt")
    else:
        eyes(folder / "ViT-B-32.pt", clip)
    if codec and codec.resolve() != (folder / "snac").resolve():
        shutil.copytree(codec, folder / "snac", dirs_exist_ok=True)
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        print(f"{path}: {size} bytes{'' if size <= MOST else ', too many for the repository'}", flush=True)


def language(folder, model, most=MOST):
    """In bf16; the embedding, which is the head too, once. As the release's `lit_model.pth`, or where that would be too large for
    a repository as shards of safetensors with an index, as hubs have them."""
    state = {name: value.detach().cpu().to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    del state["lm_head.weight"]
    size, old = sum(value.nbytes for value in state.values()), list(folder.glob("model*.safetensors*"))
    if size < 0.98 * most:
        training.save({**state, "lm_head.weight": state["transformer.wte.weight"]}, folder / LANGUAGE)
        for path in old:
            path.unlink()
        return
    shards, room = [{}], 0
    for name, value in state.items():
        if room + value.nbytes > 0.9 * most and shards[-1]:
            shards, room = [*shards, {}], 0
        shards[-1][name], room = value, room + value.nbytes
    places = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        # As bytes, since the package's own way to a file leaves one that nobody else may read.
        part = folder / f"{name}.part"
        part.write_bytes(save(shard))
        part.replace(folder / name)
        places |= dict.fromkeys(shard, name)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=1) + "\n")
    for path in (folder / LANGUAGE, *(path for path in old if path.name not in {*places.values(), INDEX})):
        path.unlink(missing_ok=True)


def file_of(folder):
    """The name of the file of a release that tells of its language model's weights."""
    return INDEX if (folder / INDEX).exists() else LANGUAGE


def weights(path):
    """The state dict of a release's folder, or of one of its files: of the language model, without the head where the embedding
    is one. Raises OSError where there is none."""
    if path.is_dir():
        path = path / file_of(path)
    if path.name != INDEX:
        return torch.load(path, weights_only=True, map_location="cpu")
    names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    return {name: value for shard in names for name, value in load_file(path.parent / shard).items()}


def eyes(path, clip):
    """TorchScript, in fp16 but for the norms."""
    clip = copy.deepcopy(clip).cpu().eval()  # its numbers are halved below
    side = int(clip.input_resolution)
    archive = torch.jit.trace(clip, torch.zeros(1, 3, side, side), check_trace=False)
    for name, value in archive.named_parameters():
        if ".ln_" not in name and not name.startswith("ln_"):
            value.data = value.data.half()
    part = path.with_name(path.name + ".part")
    archive.save(str(part))
    drop_call_stacks(part)
    part.replace(path)

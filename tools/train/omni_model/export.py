"""Writes what was trained in the layout of the release, so that the graphs run it as they run that."""

import copy
import json
import shutil
from pathlib import Path

import torch
import yaml
from mini_omni2.checkpoint import drop_call_stacks

MOST = 16_000_000  # bytes of a file


def write(folder, model, values, clip, tokenizer, listener=None):
    """values: what model_config.yaml says; clip: the eyes, or the file that they came from; tokenizer: the file; listener: what
    listener.json says, the project's addition to the release's files, where the model has learned to listen."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_config.yaml").write_text(yaml.dump(values))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    if listener:
        (folder / "listener.json").write_text(json.dumps(listener, indent=1) + "\n")
    language(folder / "lit_model.pth", model)
    if isinstance(clip, Path):
        shutil.copyfile(clip, folder / "ViT-B-32.pt")
    else:
        eyes(folder / "ViT-B-32.pt", clip)
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        print(f"{path}: {size} bytes{'' if size <= MOST else ', too many for the repository'}", flush=True)


def language(path, model):
    """In bf16; the embedding, which is the head too, once."""
    state = {name: value.detach().cpu().to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.replace(path)


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

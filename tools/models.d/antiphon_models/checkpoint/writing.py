"""Writes a random checkpoint: the files of both of the release's repositories."""

import contextlib
import fcntl
import json
import os
import shutil

from .. import store
from ..console import Failure, Progress, megabytes, say
from . import models, tokenizer
from .archives import Module, Tensor, save, save_script
from .numbers import KINDS, Numbers
from .shapes import SHAPES, model_config, snac_config

RELEASE, CODEC = "mini-omni2", "snac_24khz"


def yaml(settings):
    """Plain settings as YAML. JSON's values are YAML's too, but for an exponent's number, which needs a point."""
    lines = []
    for name, value in sorted(settings.items()):
        text = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, float) and "." not in text:
            text = text.replace("e-", ".0e-")
        lines.append(f"{name}: {text}\n")
    return "".join(lines)


def size(value):
    """Bytes of all tensors in a dictionary or module."""
    if isinstance(value, Tensor):
        return value.bytes
    entries = value.attributes if isinstance(value, Module) else value if isinstance(value, dict) else {}
    return sum(size(entry) for entry in entries.values())


def write(folder, shape, whisper=None, kind="bf16", seed=1):
    """Writes `mini-omni2` and `snac_24khz` into `folder`; whole, or not at all."""
    dims = SHAPES[shape]
    whisper = whisper or dims.whisper
    config, codec = model_config(dims, whisper), snac_config(dims)
    files = {
        f"{RELEASE}/lit_model.pth": models.language(config, dims.tokens, KINDS[kind]),
        f"{RELEASE}/small.pt": models.whisper(whisper),
        f"{RELEASE}/ViT-B-32.pt": models.clip(dims.clip),
        f"{CODEC}/pytorch_model.bin": models.snac(codec),
    }
    for name in (RELEASE, CODEC):
        if (folder / name).exists():
            raise Failure(f"{folder / name} is there already: remove it, or name another folder with --out")
    with store.disk_failures(folder), unfinished(folder) as scratch:
        total = sum(size(value) for value in files.values())
        store.require_room(folder, total * 1.02, "for the weights")
        say(f"writing {megabytes(total)} MB of random weights to {folder}")
        for name in (RELEASE, CODEC):
            (scratch / name).mkdir()
        (scratch / RELEASE / "model_config.yaml").write_text(yaml(config))
        (scratch / CODEC / "config.json").write_text(json.dumps(codec, indent=2) + "\n")
        tokenizer.write(scratch / RELEASE / "tokenizer.json", dims.tokens, seed)
        for i, (name, value) in enumerate(files.items()):
            # A file's numbers depend on the seed alone, not on the other files' sizes.
            numbers, progress = Numbers(len(files) * seed + i), Progress(name.split("/")[1], size(value))
            try:
                if isinstance(value, Module):
                    save_script(scratch / name, value, "clip", numbers, progress)
                else:
                    save(scratch / name, value, numbers, progress)
            finally:
                progress.close()
        for name in (RELEASE, CODEC):
            os.rename(scratch / name, folder / name)


@contextlib.contextmanager
def unfinished(folder):
    """A folder in `folder` for what is not whole yet, emptied of what a killed run has left, for this process alone."""
    scratch = folder / ".unfinished"
    scratch.mkdir(parents=True, exist_ok=True)
    lock = os.open(scratch, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(f"{folder}: another tools/models is writing there") from error
        try:
            for path in scratch.iterdir():
                shutil.rmtree(path)
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        os.close(lock)

"""Writes a random checkpoint: the files of both of the release's repositories."""

import errno
import json
import os
import shutil
import tempfile

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
        lines.append(f"{name}: {text.replace('e-', '.0e-') if isinstance(value, float) and '.' not in text else text}\n")
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
    total = sum(size(value) for value in files.values())
    scratch = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < total * 1.02:
            raise Failure(f"{folder}: {megabytes(free)} MB free, {megabytes(total * 1.02)} MB needed")
        say(f"writing {megabytes(total)} MB of random weights to {folder}")
        scratch = folder.__class__(tempfile.mkdtemp(prefix=".random.", dir=folder))
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
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(f"{folder}: the disk is full; nothing was kept") from error
        raise Failure(f"{error.filename or folder}: {error.strerror or error}") from error
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)

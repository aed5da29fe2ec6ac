"""Compares this folder's reference with the released code, on the micro checkpoint's random weights.

    python -m mini_omni2.check GOLDENS MINI_OMNI2 CLIP    (in tools/golden.d)

GOLDENS is what tools/golden wrote, MINI_OMNI2 a clone of gpt-omni/mini-omni2, CLIP one of mini-omni/CLIP. The released code
has the vocabulary's sizes written into it: it is run from a scratch copy in which they are the micro ones. Of what it
imports, torchvision and ftfy are needed besides what the goldens need; lightning is not, and is replaced by an empty shell.
"""

import contextlib
import importlib
import json
import re
import shutil
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from . import checkpoint, goldens, inputs, tasks

# The numbers that the release writes out, and their micro counterparts.
NUMBERS = {
    151936: checkpoint.TEXT,
    152000: checkpoint.LANGUAGE["text_vocab_size"],
    4096: checkpoint.CODES,
    4097: checkpoint.CODES + 1,
    4160: checkpoint.LANGUAGE["audio_vocab_size"],
    2048: checkpoint.LANGUAGE["block_size"],
}


def micro_copy(clone, scratch):
    shutil.copytree(clone, scratch, ignore=shutil.ignore_patterns(".git", "data"), dirs_exist_ok=True)
    numbers = re.compile(r"\b(" + "|".join(map(str, NUMBERS)) + r")\b")
    for path in scratch.rglob("*.py"):
        path.write_text(numbers.sub(lambda found: str(NUMBERS[int(found[0])]), path.read_text()))


class Shell(types.ModuleType):
    """A module in which every name exists and does nothing."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock()


def released(clone, clip, scratch):
    """The released modules: inference, vision inference, CLIP."""
    micro_copy(clone, scratch)
    for name in ("", ".fabric", ".fabric.loggers", ".fabric.strategies", ".fabric.utilities", ".fabric.utilities.load",
                 ".pytorch", ".pytorch.loggers", ".pytorch.cli"):  # fmt: skip
        sys.modules["lightning" + name] = Shell("lightning" + name)
    sys.path[:0] = [str(scratch), str(clip)]
    return [importlib.import_module(name) for name in ("inference", "inference_vision", "clip")]


class Comparison:
    def __init__(self):
        self.failed = 0

    def equal(self, what, found, expected):
        self.report(what, found == expected, "equal" if found == expected else f"{found} instead of {expected}")

    def close(self, what, found, expected):
        """Error: the greatest difference, over the greatest value."""
        error = ((found - expected).abs().max() / expected.abs().max()).item() if found.shape == expected.shape else 9
        self.report(what, error < 1e-5, f"error {error:.1e}")

    def report(self, what, good, said):
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {what}: {said}")


@torch.inference_mode()
def compare(folder, clone, clip, scratch):
    inference, vision, clip = released(clone, clip, scratch)
    from litgpt import Config, Tokenizer
    from litgpt.generate import base
    from litgpt.model import GPT
    from utils.snac_utils import reconscruct_snac, reconstruct_tensors

    release, result = folder / "checkpoint" / "mini-omni2", Comparison()
    models = goldens.Models(folder / "checkpoint")
    expected = load_file(folder / "answers.safetensors")
    cases = {case["name"]: case for case in json.loads((folder / "manifest.json").read_text())["answers"]}
    model = GPT(Config.from_file(release / "model_config.yaml"))
    # The reference opens the file with lightning's lazy loader, which reads the same archive.
    state = torch.load(release / "lit_model.pth", weights_only=True)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True)
    model.device, tokenizer = torch.device("cpu"), Tokenizer(release)
    limit = checkpoint.LANGUAGE["block_size"]
    sampling = {"max_returned_tokens": limit, "temperature": 0.9, "top_k": 1, "eos_id_a": inference._eoa,
                "eos_id_t": inference._eot, "pad_id_t": inference._pad_t, "shift": inference.padded_text_vocabsize}  # fmt: skip

    def prompt(name, ids):
        rows = torch.stack([row if row.dim() == 2 else row[None] for row in ids], dim=1)
        result.equal(f"{name} prompt", rows.tolist(), expected[f"{name}.prompt"].tolist())
        model.set_kv_cache(batch_size=len(rows))

    def speech(name, found):
        """The released loops leave out the last column, which ended them."""
        result.equal(f"{name} tokens", found, expected[f"{name}.tokens"][:, :-1].tolist())

    def text(name, found):
        result.equal(f"{name} tokens", [found], expected[f"{name}.tokens"][:, :-1].tolist())
        result.equal(f"{name} text", tokenizer.decode(torch.tensor(found)), cases[name]["text"])

    @contextlib.contextmanager
    def microphone(seed):
        samples = inputs.speech(seed).astype(np.float32) / 32768
        with mock.patch.object(inference.whisper, "load_audio", lambda _: samples):
            yield inference.load_audio("")

    for seed in goldens.SEEDS:
        with microphone(seed) as (mel, count):
            features, ids = inference.get_input_ids_whisper_ATBatch(mel, count, models.whisper, "cpu")
            prompt(f"a1a2.{seed}", ids)
            found = base.generate_TA_BATCH(model, features, ids, [count] * 2, ["A1A2", "A1T2"], **sampling)
            speech(f"a1a2.{seed}", found)
            codes = reconstruct_tensors(reconscruct_snac([row.copy() for row in found]), "cpu")
            answer = tasks.Answer(expected[f"a1a2.{seed}.tokens"].T.tolist(), "eoa")
            ours = tasks.codes(tasks.frames(answer))
            result.equal(f"a1a2.{seed} codes", [c.tolist() for c in codes], [c.tolist() for c in ours])
            if f"a1a2-one-row.{seed}" in cases:
                features, ids = inference.get_input_ids_whisper(mel, count, models.whisper, "cpu")
                prompt(f"a1a2-one-row.{seed}", ids)
                speech(f"a1a2-one-row.{seed}", base.generate_AA(model, features, ids, [count], ["A1T2"], **sampling))
            if f"a1a2-limit.{seed}" in cases:
                features, ids = inference.get_input_ids_whisper_ATBatch(mel, count, models.whisper, "cpu")
                prompt(f"a1a2-limit.{seed}", ids)
                short = {**sampling, "max_returned_tokens": cases[f"a1a2-limit.{seed}"]["limit"]}
                with mock.patch.object(type(model), "max_seq_length", limit):
                    found = base.generate_TA_BATCH(model, features, ids, [count] * 2, ["A1A2", "A1T2"], **short)
                result.equal(f"a1a2-limit.{seed} tokens", found, expected[f"a1a2-limit.{seed}.tokens"].tolist())
            for name, last_t, generate in (("a1t2", "_answer_t", base.generate_AT), ("a1t1", "_asr", base.generate_ASR)):
                if f"{name}.{seed}" in cases:
                    last = {"special_token_a": inference._pad_a, "special_token_t": getattr(inference, last_t)}
                    features, ids = inference.get_input_ids_whisper(mel, count, models.whisper, "cpu", **last)
                    prompt(f"{name}.{seed}", ids)
                    text(f"{name}.{seed}", generate(model, features, ids, [count], [name], **sampling))

    for i, question in enumerate(goldens.TEXTS):
        ids = inference.get_input_ids_TA(question, tokenizer)
        prompt(f"t1a2.{i}", ids)
        speech(f"t1a2.{i}", base.generate_TA(model, None, ids, None, ["T1A2"], **sampling))
        ids = inference.get_input_ids_TT(question, tokenizer)
        prompt(f"t1t2.{i}", ids)
        text(f"t1t2.{i}", base.generate_TT(model, None, ids, None, ["T1T2"], **sampling))

    clip_model, preprocess = clip.load(str(release / "ViT-B-32.pt"), device="cpu")
    pictures = load_file(folder / "vision.safetensors")
    omni = object.__new__(vision.OmniVisionInference)
    omni.device, omni.model, omni.text_tokenizer, omni.fabric = "cpu", model, tokenizer, mock.MagicMock()
    omni.whispermodel, omni.clipmodel, omni.clippreprocess, omni.snacmodel = models.whisper, clip_model, preprocess, models.snac
    for i, name in enumerate(goldens.PICTURES):
        picture = preprocess(Image.open(folder / name))
        result.close(f"{name} preprocessed", picture, goldens.look(models, folder / name)[1][0])
        tokens = clip_model.encode_image(picture[None])[0]
        result.close(f"{name} encoded", tokens, pictures[f"{name}.encoder"])
        result.close(f"{name} adapted", model.vision_adapter(tokens), pictures[f"{name}.adapter"])
        kept = []
        with microphone(i) as (mel, count), mock.patch.object(vision, "reconscruct_snac", lambda found: kept.extend(found)):
            _, ids = vision.get_input_ids_ImageQA_ATBatch(mel, count, models.whisper, "cpu")
            prompt(f"image-a1a2.{i}", ids)
            with mock.patch.object(vision, "reconstruct_tensors"), mock.patch.object(vision, "sf"):
                quiet = contextlib.redirect_stdout(None)
                with quiet, mock.patch.object(omni.snacmodel, "decode", lambda _: torch.zeros(1)):
                    list(omni.run_vision_AA_batch_stream("", folder / name, max_returned_tokens=limit, save_path="-"))
        speech(f"image-a1a2.{i}", kept)

        # No released loop runs the tasks of a picture without speech: the model alone, with our prompts.
        for task, row in (("ImageCAP", f"caption.{i}"), ("ImageQA_T", f"image-t1t2.{i}")):
            ids = list(expected[f"{row}.prompt"][0][:, None])
            model.set_kv_cache(batch_size=1)
            unheard, place, found = torch.zeros(1, 1, checkpoint.WHISPER["n_audio_state"]), 0, []
            for _ in range(cases[row]["steps"]):
                places = torch.arange(place, place + ids[0].shape[1])
                given = (unheard, ids, tokens[None], places, [1], [task]) if place == 0 else (None, ids, None, places)
                found.append(model(*given)[1][0, -1].argmax().item())
                place += ids[0].shape[1]
                ids = list(tasks.column(models.config, None, found[-1])[:, None])
            result.equal(f"{row} tokens", [found], expected[f"{row}.tokens"].tolist())

    stages = load_file(folder / "language.safetensors")
    case = cases[json.loads((folder / "manifest.json").read_text())["language"]["speech"]]
    with microphone(case["seed"]) as (mel, count):
        features, ids = inference.get_input_ids_whisper_ATBatch(mel, count, models.whisper, "cpu")
    model.set_kv_cache(batch_size=2)
    result.close("speech adapted", model.whisper_adapter(features[0]), load_file(folder / "speech.safetensors")["adapter"])
    for step in range(case["steps"]):
        past = 0 if step == 0 else ids[0].shape[1] + step - 1
        if step == 0:
            audio, text = model(features, ids, None, torch.arange(ids[0].shape[1]), [count] * 2, ["A1A2"] * 2)
        else:
            column = expected[f"{case['name']}.tokens"][:, step - 1].tolist()
            rows = [tasks.column(models.config, given, column[-1]) for given in (column[:7], None)]
            audio, text = model(None, list(torch.stack(rows, dim=1)), None, torch.tensor([past]))
        logits = torch.cat([text[1, -1]] + [layer[0, -1] for layer in audio])
        result.close(f"speech logits, step {step}", logits, stages["speech.logits"][step])
    return result.failed


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(min(1, compare(*map(Path, sys.argv[1:4]), Path(scratch))))

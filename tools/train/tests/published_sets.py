"""Tiny sets and models in the layouts in which large ones are published: random, made in a moment, and read like those."""

import json

import numpy as np
import pyarrow
import soundfile
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file


def tone(seconds, rate, seed):
    """Something that is heard: a few harmonics that swell."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    wave = sum(rng.uniform(0, 1) * np.sin(2 * np.pi * 150 * n * time) for n in range(1, 6))
    return (0.1 * wave * (1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def write_sound(path, seconds, rate, seed, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), tone(seconds, rate, seed), rate, **options)


def libritts(folder, count=12):
    for number in range(count):
        part = "train-clean-100" if number % 4 else "test-clean"
        path = folder / part / "103" / "1241" / f"103_1241_{number:06}_000001.wav"
        write_sound(path, 0.5, 24_000, number)
        path.with_name(f"{path.stem}.normalized.txt").write_text(f"It is number {number}.\n")


def vctk(folder, count=8):
    for number in range(count):
        speaker, name = "p225", f"p225_{number:03}"
        write_sound(folder / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac", 0.4, 48_000, number)
        text = folder / "txt" / speaker / f"{name}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("Please call Stella.\n")


def multilingual_librispeech(folder, count=8):
    lines = []
    for number in range(count):
        name = f"4800_10003_{number:06}"
        write_sound(folder / "train" / "audio" / "4800" / "10003" / f"{name}.flac", 0.6, 16_000, number)
        lines.append(f"{name}\tand so it went on\n")
    (folder / "train" / "transcripts.txt").write_text("".join(lines))


def open_orca(folder, count=40):
    folder.mkdir(parents=True)
    table = {
        "id": [f"flan.{n}" for n in range(count)], "system_prompt": [""] * count,
        "question": [f"What is {n} plus one?" for n in range(count)], "response": [f"It is {n + 1}." for n in range(count)],
    }  # fmt: skip
    parquet.write_table(pyarrow.table(table), folder / "1M-GPT4-Augmented.parquet")


def moss(folder, count=12):
    folder.mkdir(parents=True)
    text = "[Human]: Tell me about {n}.<eoh> [MOSS]: {n} is a number.<eoa> [Human]: More!<eoh> [MOSS]: No.<eoa>"
    found = [{"id": str(n), "plain_text": text.format(n=n), "prefix": "MOSS is", "num_turns": "2"} for n in range(count)]
    (folder / "en_helpfulness.json").write_text(json.dumps(found))
    (folder / "zh_helpfulness.json").write_text("[]")


def voice_assistant(folder, count=12, codes=32):
    (folder / "data").mkdir(parents=True)
    rng, rows = np.random.default_rng(1), []
    for number in range(count):
        path = folder / "sound.wav"
        write_sound(path, 0.5, 22_050, number)
        frames = rng.integers(0, codes, (3 + number % 3, 7))
        said = " ".join("# " + " ".join(map(str, frame)) for frame in frames)
        rows.append({
            "split_name": "identity", "index": number, "round": 1, "question": f"Who are you, {number}?",
            "question_audio": {"bytes": path.read_bytes(), "path": None}, "answer": f"I am {number}.", "answer_snac": said,
        })  # fmt: skip
        path.unlink()
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "data" / "train-00000-of-00001.parquet")


def allava(folder, count=12):
    images = folder / "allava_laion" / "images"
    images.mkdir(parents=True)
    for kind in ("Caption", "Instruct"):
        found = []
        for number in range(count):
            Image.fromarray(np.full((60, 80, 3), 20 * number, np.uint8)).save(images / f"{number}.jpeg")
            said = (("human", "<image>\nWhat is it?"), ("gpt", f"A {kind} of grey {number}."))
            turns = [{"from": who, "value": text} for who, text in said]
            found.append({"id": f"{kind}_{number}", "image": f"allava_laion/images/{number}.jpeg", "conversations": turns})
        (folder / "allava_laion" / f"ALLaVA-{kind}-LAION-4V.json").write_text(json.dumps(found, indent=2))


def qwen2(folder, language, seed=1):
    """Weights of the shape that the section `language` says, under the hub's names. Returns them."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    width, size, inner = language["width"], language["width"] // language["heads"], language["inner"]
    state = {"model.embed_tokens.weight": 0.05 * torch.randn(language["tokens"], width)}
    state["model.norm.weight"] = torch.rand(width) + 1
    for layer in range(language["layers"]):
        for name, rows, columns in (
            ("self_attn.q_proj", width, width), ("self_attn.k_proj", language["groups"] * size, width),
            ("self_attn.v_proj", language["groups"] * size, width), ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", inner, width), ("mlp.up_proj", inner, width), ("mlp.down_proj", width, inner),
        ):  # fmt: skip
            state[f"model.layers.{layer}.{name}.weight"] = torch.randn(rows, columns) * columns**-0.5
            if name[-6:] in ("q_proj", "k_proj", "v_proj"):
                state[f"model.layers.{layer}.{name}.bias"] = 0.3 * torch.randn(rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"model.layers.{layer}.{name}.weight"] = torch.rand(width) + 0.5
    state = {name: value.to(torch.bfloat16) for name, value in state.items()}
    save_file(state, folder / "model.safetensors")
    config = {
        "num_hidden_layers": language["layers"], "hidden_size": width, "num_attention_heads": language["heads"],
        "num_key_value_heads": language["groups"], "intermediate_size": inner, "rope_theta": float(language["rope"]),
        "vocab_size": language["tokens"], "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return {name: value.float() for name, value in state.items()}

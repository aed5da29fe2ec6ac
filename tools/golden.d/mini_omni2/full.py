"""What the references make of a checkpoint of any size, in particular one as large as the release: every stage of one spoken
question and its answer, teacher-forced along fixed tokens. docs/goldens.md describes the file.
"""

import json
import sys
import time
import wave

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from . import goldens, inputs, tasks, vision
from .language import LAYERS, Config, LanguageModel

SEED, SAMPLES = 5, 49_500  # the spoken question: 155 speech features
STEPS = 24  # of the answer
TEXT_STEPS = 14  # of them, with text; then it ends, and is padded
IMAGE = "picture.png"  # of the micro goldens


class Stage:
    """Says what is computed, and how long it took."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.start = time.monotonic()

    def __exit__(self, kind, *_):
        if kind is None:
            print(f"{self.name}: {time.monotonic() - self.start:.1f} s", file=sys.stderr, flush=True)


@torch.no_grad()
def write(folder, out, picture, question=None):
    """Reads `folder/mini-omni2` and `folder/snac_24khz`; one model is in memory at a time."""
    release = folder / "mini-omni2"
    samples = inputs.speech(SEED, SAMPLES) if question is None else read_wave(question)
    count = goldens.feature_count(len(samples))
    tensors = {"samples": torch.from_numpy(samples)}
    with Stage("Whisper"):
        tensors |= hear(release, samples)
    with Stage("CLIP"):
        tensors |= look(release, picture)
    with Stage("language model"):
        tensors |= answer(release, tensors["encoder"][:count], tensors["vision.encoder"])
    with Stage("SNAC"):
        tensors |= speak(folder / "snac_24khz", tensors["tokens"])
    about = {"features": count, "steps": STEPS, "samples": len(samples)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, out, {"about": json.dumps(about)})
    print(f"{out}: {out.stat().st_size} bytes", file=sys.stderr)


def read_wave(path):
    with wave.open(str(path)) as file:
        form = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if form != (16000, 1, 2):
            sys.exit(f"{path}: {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits; expected 16000 Hz, 1 channel, 16 bits")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").copy()


# MARK: Encoders


def hear(release, samples):
    import whisper

    model = whisper.load_model(str(release / "small.pt"), device="cpu").float()
    audio = torch.from_numpy(samples.astype(np.float32) / 32768)
    spectrogram = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio), model.dims.n_mels)
    return {"mel": spectrogram, "encoder": model.embed_audio(spectrogram[None])[0]}


def look(release, picture):
    state = torch.jit.load(str(release / "ViT-B-32.pt"), map_location="cpu").state_dict()
    prefix = "visual."
    state = {name[len(prefix) :]: value.float() for name, value in state.items() if name.startswith(prefix)}
    width, _, patch, _ = state["conv1.weight"].shape
    layers = len({name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")})
    grid = round((len(state["positional_embedding"]) - 1) ** 0.5)
    model = vision.Vision(grid * patch, patch, width, layers, state["proj"].shape[1]).eval()
    model.load_state_dict(state)
    crop = vision.resized(Image.open(picture), grid * patch)
    return {"vision.resized": torch.from_numpy(crop.copy()), "vision.encoder": model(vision.normalized(crop))[0]}


# MARK: Language model


def fixed_tokens(config):
    """Local ids int32 [8, STEPS], a column a step, by integer arithmetic: any codes and any text, the text with an end."""
    columns, state = [], 1
    for step in range(STEPS):
        column = []
        for bound in [config.audio["eoa"]] * LAYERS + [config.text["eot"]]:
            state = (state * 1664525 + 1013904223) & inputs.MASK
            column.append((state >> 8) % bound)
        if step >= TEXT_STEPS:
            column[-1] = config.text["eot" if step == TEXT_STEPS else "pad"]
        columns.append(column)
    return torch.tensor(columns, dtype=torch.int32).T.contiguous()


def answer(release, heard, seen):
    """Prompt, adapters' outputs, and both rows' states and the logits of every step along the fixed tokens."""
    config = Config.read(release / "model_config.yaml")
    model = LanguageModel(config).eval()
    state = torch.load(release / "lit_model.pth", weights_only=True, mmap=True)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    features, tokens = model.whisper_adapter(heard), fixed_tokens(config)
    rows = [tasks.spoken(config, len(heard), "answer", "answer"), tasks.spoken(config, len(heard), "pad", "answer")]
    x, past = torch.stack([model.embed(row, tasks.speech_features(features)) for row in rows]), None
    states, logits = [], []
    for *audio, text in tokens.T.tolist():
        last, past = model(x, past)
        states.append(last)
        written, spoken = model.heads(last[1])[0], model.heads(last[0])[1]
        logits.append(torch.cat([written, spoken.flatten()]))
        x = torch.stack([model.embed(tasks.column(config, row, text)) for row in (audio, None)])
    return {
        "adapter": features,
        "vision.adapter": model.vision_adapter(seen),
        "prompt": torch.stack(rows),
        "tokens": tokens,
        "states": torch.stack(states),
        "logits": torch.stack(logits),
    }


# MARK: Codec


def speak(folder, tokens):
    from snac import SNAC

    codec = SNAC.from_pretrained(str(folder))
    goldens.silence_noise(codec)
    codes = tasks.codes(tasks.frames(tasks.Answer(tokens.T.tolist())))
    tensors = {f"codes.{i}": level[0].int() for i, level in enumerate(codes)}
    return {**tensors, "latent": codec.quantizer.from_codes(codes)[0], "wave": codec.decode(codes)[0, 0]}

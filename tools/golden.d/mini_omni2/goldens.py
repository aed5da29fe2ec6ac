"""Runs the micro checkpoint through the references and writes what they say. docs/goldens.md describes the files.

References: Whisper is `openai-whisper`, SNAC is `snac`, pictures are read and resized by Pillow; the language model and CLIP
are this folder's, which `check.py` compares with the released code. All of it computes in fp32 from the files as written.
"""

import json
import shutil
import sys
from unittest import mock

import numpy as np
import torch
from PIL import Image

from . import checkpoint, inputs, listener, tasks, vision
from .language import LAYERS, Config, LanguageModel

SEEDS = range(20)  # spoken questions
STAGE_SEED = 5  # the question whose every stage is kept
SILENT = 170  # from this column on STAGE_SEED's spectrogram is silence
PICTURES = {"picture.png": (331, 240, 3), "picture.jpg": (240, 330, 3), "transparent.png": (96, 131, 4)}
TEXTS = [
    "What is the capital of France?",
    "I'm fine, thank you.\n\nHow ARE you? 123",
    "Zürich, cafe\u0301 中文 😀 \t x",
    "",
    "Tell me a joke.",
]
MORE_TEXTS = [
    "<|im_start|>user\nhi<|im_end|>", " leading and trailing ", "\u00a0a\u3000b\r\n\r\n  c", "'Ll 'RE it'S", "....!!\n\n",
]  # fmt: skip


class Models:
    def __init__(self, folder):
        import whisper
        from snac import SNAC
        from tokenizers import Tokenizer

        release, codec = folder / "mini-omni2", folder / "snac_24khz"
        self.config = Config.read(release / "model_config.yaml")
        self.language = LanguageModel(self.config).eval()
        self.read_language(release / "lit_model.pth")
        self.whisper = whisper.load_model(str(release / "small.pt"), device="cpu")
        self.clip = vision.Clip(**checkpoint.CLIP).eval()
        archive = torch.jit.load(str(release / "ViT-B-32.pt")).state_dict()
        self.clip.load_state_dict({name: tensor.float() for name, tensor in archive.items()})
        self.tokenizer = Tokenizer.from_file(str(release / "tokenizer.json"))
        self.snac = SNAC.from_pretrained(str(codec))

    def read_language(self, path):
        state = torch.load(path, weights_only=True)
        self.language.load_state_dict({name: tensor.float() for name, tensor in state.items()})


def feature_count(samples):
    """The release's arithmetic, which floating point makes one less than `samples / 320 + 1` at a few lengths."""
    return int(samples / 16000 * 1000 / 20) + 1


@torch.no_grad()
def hear(models, samples):
    """Spectrogram [80, 3000], encoding [1500, state] and how many of its frames are kept."""
    import whisper

    audio = torch.from_numpy(samples.astype(np.float32) / 32768)
    spectrogram = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio))
    return spectrogram, models.whisper.embed_audio(spectrogram[None])[0], feature_count(len(samples))


@torch.no_grad()
def look(models, path):
    crop = vision.resized(Image.open(path))
    normalized = vision.normalized(crop)
    tokens = models.clip(normalized)[0]
    return crop, normalized, tokens, models.language.vision_adapter(tokens)


def silence_noise(codec):
    """Takes the noise out of SNAC: what a noise block adds is zero."""
    from snac.layers import NoiseBlock

    return [m.register_forward_hook(lambda _, given, __: given[0]) for m in codec.modules() if isinstance(m, NoiseBlock)]


class Writer:
    """Collects named tensors for a file and cases for the manifest."""

    def __init__(self, folder):
        self.folder, self.manifest = folder, {}

    def save(self, name, tensors):
        from safetensors.torch import save_file

        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, self.folder / name)

    def finish(self):
        with open(self.folder / "manifest.json", "w") as file:
            parts = []
            for key, value in self.manifest.items():
                if isinstance(value, list):
                    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
                    parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
                else:
                    parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
            file.write("{\n" + ",\n".join(parts) + "\n}\n")


def write(folder):
    """Writes the micro checkpoint and its goldens to `folder`, which is emptied first."""
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkpoint.write(folder / "checkpoint")
    models, writer = Models(folder / "checkpoint"), Writer(folder)
    write_pictures(folder)
    config = models.config
    writer.manifest["ids"] = {"text": config.text, "audio": config.audio, "codes": config.audio["eoa"]}
    write_tokens(models, writer)
    heard = {seed: hear(models, inputs.speech(seed)) for seed in SEEDS}
    seen = {name: look(models, folder / name) for name in PICTURES}
    write_speech(models, writer, heard[STAGE_SEED])
    write_vision(models, writer, seen)
    answers = write_answers(models, writer, heard, seen)
    write_language(models, writer, heard, seen, answers)
    write_codec(models, writer, answers)
    listener.write(folder, models)
    writer.finish()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size} bytes", file=sys.stderr)


# MARK: Encoders


def write_pictures(folder):
    for name, (width, height, channels) in PICTURES.items():
        inputs.picture(width, height, channels).save(folder / name, optimize=True)


def write_tokens(models, writer):
    entries = []
    for text in TEXTS + MORE_TEXTS:
        ids = models.tokenizer.encode(text).ids
        entries.append({"text": text, "ids": ids, "decoded": models.tokenizer.decode(ids)})
    writer.manifest["tokenizer"] = entries


def write_speech(models, writer, heard):
    spectrogram, encoded, count = heard
    silence = spectrogram[:, -1:]
    assert (spectrogram[:, SILENT:] == silence).all(), "SILENT is too small"
    samples = inputs.speech(STAGE_SEED)
    with torch.no_grad():
        adapted = models.language.whisper_adapter(encoded[:count])
    tensors = {"samples": torch.from_numpy(samples), "mel": spectrogram[:, :SILENT], "mel.silence": silence[:, 0]}
    writer.save("speech.safetensors", {**tensors, "encoder": encoded, "adapter": adapted})
    writer.manifest["speech"] = {"seed": STAGE_SEED, "samples": len(samples), "features": count}
    # Every length under 30 s at which whole-number arithmetic would give another count, and a few plain ones.
    odd = [n for n in range(1, 480001) if feature_count(n) != n // 320 + 1]
    plain = [1, 319, 320, 321, 4800, 16000, 479999, 480000]
    writer.manifest["featureCounts"] = [{"samples": n, "features": feature_count(n)} for n in sorted(odd + plain)]


def write_vision(models, writer, seen):
    tensors = {}
    for name, (crop, normalized, tokens, adapted) in seen.items():
        tensors[f"{name}.resized"] = torch.from_numpy(crop.copy())
        tensors[f"{name}.normalized"] = normalized[0, :, ::16, ::16]
        tensors[f"{name}.encoder"], tensors[f"{name}.adapter"] = tokens, adapted
        if name.endswith(".jpg"):
            tensors[f"{name}.decoded"] = torch.from_numpy(np.array(Image.open(writer.folder / name)))
    writer.save("vision.safetensors", tensors)
    writer.manifest["pictures"] = list(PICTURES)


# MARK: Answers


def answer_all(models, heard, seen):
    """Every case: its name, the rows of its prompt, its answer, and what it was asked."""
    language, config, tokenizer = models.language, models.config, models.tokenizer

    def speech(seed):
        _, encoded, count = heard[seed]
        with torch.no_grad():
            return count, language.whisper_adapter(encoded[:count])

    for seed in SEEDS:
        count, features = speech(seed)
        rows = [tasks.spoken(config, count, "answer", "answer"), tasks.spoken(config, count, "pad", "answer")]
        given, asked = tasks.speech_features(features), {"seed": seed, "features": count}
        yield f"a1a2.{seed}", rows, tasks.answer_in_speech(language, *rows, given), asked
        if seed < 5:
            yield f"a1t2.{seed}", rows[1:], tasks.answer_in_text(language, rows[1], given), asked
            row = tasks.spoken(config, count, "pad", "asr")
            yield f"a1t1.{seed}", [row], tasks.answer_in_text(language, row, given), asked
        if seed < 2:
            yield f"a1a2-one-row.{seed}", rows[:1], tasks.answer_in_speech(language, rows[0], None, given), asked
            limit = rows[0].shape[1] + 9
            answer = tasks.answer_in_speech(language, *rows, given, limit=limit)
            yield f"a1a2-limit.{seed}", rows, answer, {**asked, "limit": limit}
    for i, text in enumerate(TEXTS):
        ids, asked = tokenizer.encode(text).ids, {"question": text}
        row = tasks.written(config, ids, "answer")
        yield f"t1a2.{i}", [row], tasks.answer_in_speech(language, row, None), asked
        row = tasks.written(config, ids, "pad")
        yield f"t1t2.{i}", [row], tasks.answer_in_text(language, row), asked
    for i, (picture, (*_, image)) in enumerate(seen.items()):
        count, features = speech(i)
        rows = [tasks.pictured(config, count, "answer"), tasks.pictured(config, count, "pad")]
        given, asked = tasks.image_features(image, features), {"picture": picture, "seed": i, "features": count}
        yield f"image-a1a2.{i}", rows, tasks.answer_in_speech(language, *rows, given), asked
        yield f"image-a1t2.{i}", rows[1:], tasks.answer_in_text(language, rows[1], given), asked
        given, asked = tasks.image_features(image), {"picture": picture, "question": TEXTS[i]}
        row = tasks.pictured_written(config, tokenizer.encode(TEXTS[i]).ids)
        yield f"image-t1t2.{i}", [row], tasks.answer_in_text(language, row, given), asked
        row = tasks.caption(config)
        yield f"caption.{i}", [row], tasks.answer_in_text(language, row, given), {"picture": picture}


def words(config, answer):
    """The text tokens of an answer, without the one that ended it."""
    text = answer.matrix[-1].tolist()
    if config.text["eot"] in text:
        return text[: text.index(config.text["eot"])]
    return text[:-1] if answer.ended == "eoa" else text


def write_answers(models, writer, heard, seen):
    config, tensors, cases, answers = models.config, {}, [], {}
    for name, rows, answer, asked in answer_all(models, heard, seen):
        tensors[f"{name}.prompt"], tensors[f"{name}.tokens"] = torch.stack(rows), answer.matrix
        # The released loops do not look for an end at the first step; ours does, so none may be there.
        assert answer.matrix.shape[1] > 1, f"{name}: an end at the first step"
        case = {"name": name, **asked, "steps": answer.matrix.shape[1], "ended": answer.ended}
        if answer.matrix.shape[0] > 1:
            kept = tasks.frames(answer)
            assert (kept < config.audio["eoa"]).all(), f"{name}: an id that is no code"
            case["frames"] = kept.shape[1]
        written = words(config, answer)
        case |= {"words": len(written), "margin": round(answer.margin, 6), "text": models.tokenizer.decode(written)}
        cases.append(case)
        answers[name] = answer
    writer.save("answers.safetensors", tensors)
    writer.manifest["answers"] = cases
    return answers


@torch.no_grad()
def write_language(models, writer, heard, seen, answers):
    """What lies between a prompt and the tokens: of one spoken question, and of one with a picture."""
    language, config = models.language, models.config
    tensors = {}

    def stages(name, rows, features, answer):
        x, past = torch.stack([language.embed(row, features) for row in rows]), None
        tensors[f"{name}.input"] = x
        chosen, states = [], []
        for audio in answer.matrix.T.tolist():
            state, past = language(x, past)
            states.append(state)
            text, speech = language.heads(state[1])[0], language.heads(state[0])[1]
            chosen.append(torch.cat([text, speech.flatten()]))
            columns = [tasks.column(config, audio[:LAYERS], audio[-1]), tasks.column(config, None, audio[-1])]
            x = torch.stack([language.embed(ids) for ids in columns])
            if len(chosen) == 1:
                tensors[f"{name}.step.tokens"], tensors[f"{name}.step.input"] = torch.stack(columns), x
        kept = len(states) if name == "speech" else 2
        tensors[f"{name}.states"] = torch.stack(states[:kept])
        tensors[f"{name}.logits"] = torch.stack(chosen[:kept])

    _, encoded, count = heard[STAGE_SEED]
    features = language.whisper_adapter(encoded[:count])
    rows = [tasks.spoken(config, count, "answer", "answer"), tasks.spoken(config, count, "pad", "answer")]
    stages("speech", rows, tasks.speech_features(features), answers[f"a1a2.{STAGE_SEED}"])
    name, (*_, image) = next(iter(seen.items()))
    _, encoded, count = heard[0]
    features = language.whisper_adapter(encoded[:count])
    rows = [tasks.pictured(config, count, "answer"), tasks.pictured(config, count, "pad")]
    stages("image", rows, tasks.image_features(image, features), answers["image-a1a2.0"])
    writer.save("language.safetensors", tensors)
    writer.manifest["language"] = {"speech": f"a1a2.{STAGE_SEED}", "image": "image-a1a2.0"}


# MARK: Codec


@torch.no_grad()
def write_codec(models, writer, answers):
    codec, random = models.snac, checkpoint.Random(7)
    tensors = {}

    def keep(name, codes):
        for i, level in enumerate(codes):
            tensors[f"{name}.codes.{i}"] = level[0].int()
        tensors[f"{name}.latent"] = codec.quantizer.from_codes(codes)[0]
        tensors[f"{name}.wave"] = codec.decode(codes)[0, 0]

    def random_codes(frames):
        return [torch.randint(codec.codebook_size, (1, frames * rate), generator=random.generator) for rate in (1, 2, 4)]

    hooks = silence_noise(codec)
    keep("random", random_codes(11))
    keep("one", random_codes(1))
    keep("answer", tasks.codes(tasks.frames(answers["a1a2.0"])))
    for hook in hooks:
        hook.remove()

    # The noise blocks' random numbers, given: x + noise * linear(x).
    codes, noise = random_codes(2), []

    def draw(shape, **_):
        noise.append(torch.empty(shape).normal_(generator=random.generator))
        return noise[-1]

    with mock.patch.object(torch, "randn", draw):
        keep("noisy", codes)
    tensors |= {f"noisy.noise.{i}": values[0, 0] for i, values in enumerate(noise)}

    samples = inputs.speech(33, 9500)  # as if at 24 kHz
    audio = torch.from_numpy(samples.astype(np.float32) / 32768)[None, None]
    tensors["encoded.samples"] = torch.from_numpy(samples)
    latent = codec.encoder(codec.preprocess(audio))
    tensors["encoded.latent"] = latent[0]
    codes = codec.encode(audio)
    for i, level in enumerate(codes):
        tensors[f"encoded.codes.{i}"] = level[0].int()
    margin = code_margin(codec, latent)
    writer.save("snac.safetensors", tensors)
    waves = {key: round(t.std().item(), 4) for key, t in tensors.items() if key.endswith("wave")}
    used = [len(set(level[0].tolist())) for level in codes]
    writer.manifest["snac"] = {"margin": round(margin, 6), "waveDeviations": waves, "differentCodes": used}


def code_margin(codec, latent):
    """The least difference of squared distance between the nearest and the second code, over all levels."""
    least, residual = float("inf"), latent
    for quantizer in codec.quantizer.quantizers:
        pooled = torch.nn.functional.avg_pool1d(residual, quantizer.stride, quantizer.stride)
        projected = torch.nn.functional.normalize(quantizer.in_proj(pooled)[0].T)
        book = torch.nn.functional.normalize(quantizer.codebook.weight)
        best = torch.cdist(projected, book).pow(2).topk(2, largest=False).values
        least = min(least, (best[:, 1] - best[:, 0]).min().item())
        residual = residual - quantizer(residual)[0]
    return least

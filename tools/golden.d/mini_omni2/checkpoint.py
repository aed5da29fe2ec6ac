"""Writes a micro checkpoint: the files of the release, byte layouts included, with random weights and small dimensions.

`gpt-omni/mini-omni2` is `mini-omni2/`, `hubertsiuzdak/snac_24khz` is `snac_24khz/`. What a reader may meet in real files is
here too: views into shared storages, with offsets and strides (`lit_model.pth`), three dtypes in one archive, a module's
state dict with its `_metadata`, a scripted archive of nested modules with 0-dimensional integers among its tensors.

The weights are random, with these exceptions, without which no greedy answer would be worth comparing:
- Logits of ids that a trained model never chooses (reserved ids, ids without a token) are weakened, so that the codec gets
  codes.
- A clock (`add_clock`) makes the end tokens ever likelier as the answer grows, so that answers end. When, is decided by the
  random rest.
- SEED is the best of the first 30 by `search.py`: answers end at different lengths and choose by wide margins.
"""

import json
from collections import OrderedDict

import torch
import yaml

from .language import LAYERS, SPECIALS, Config, LanguageModel
from .vision import Clip

SEED = 2  # of the language model; the encoders and the codec have seeds 1, 2 and 3
CODES = 64
TEXT = 320  # ids below the reserved ones; the tokenizer fills less, as Qwen2's does
WEAKER = 0.2

LANGUAGE = {
    "n_layer": 2, "n_embd": 64, "n_head": 4, "n_query_groups": 2, "head_size": 16, "intermediate_size": 160,
    "block_size": 256, "text_vocab_size": TEXT + SPECIALS, "audio_vocab_size": CODES + SPECIALS,
    "cat_audio_vocab_size": LAYERS * (CODES + SPECIALS),
    "padded_vocab_size": TEXT + SPECIALS + LAYERS * (CODES + SPECIALS),
    "vocab_size": TEXT + SPECIALS + LAYERS * (CODES + SPECIALS),
    "whisper_adapter_dim": 48, "vision_adapter_dim": 32,
    # As in the release:
    "name": "qwen2", "hf_config": {}, "scale_embeddings": False, "padding_multiple": 512, "rotary_percentage": 1.0,
    "parallel_residual": False, "bias": False, "lm_head_bias": False, "add_qkv_bias": True,
    "shared_attention_norm": False, "norm_class_name": "RMSNorm", "norm_eps": 1e-6, "mlp_class_name": "LLaMAMLP",
    "gelu_approximate": "none", "rope_condense_ratio": 1, "rope_base": 1000000, "n_expert": 0, "n_expert_per_token": 0,
    "prompt_vocab_size": None, "attn_dropout": 0.0, "pos_type": "rope", "force_align": False,
    "use_pretrain_phoneme_emb": False, "tie_word_embeddings": False, "post_adapter": False, "post_adapter_layers": 6,
    "asr_adapter": "llamamlp",
}  # fmt: skip

WHISPER = {
    "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 48, "n_audio_head": 3, "n_audio_layer": 2,
    "n_vocab": 64, "n_text_ctx": 8, "n_text_state": 48, "n_text_head": 3, "n_text_layer": 1,
}  # fmt: skip

CLIP = {
    "resolution": 224, "patch": 32, "width": 128, "layers": 2, "out": 32, "text_width": 64, "context": 4, "vocabulary": 8,
}  # fmt: skip

SNAC = {
    "sampling_rate": 24000, "encoder_dim": 6, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 48,
    "decoder_rates": [8, 8, 4, 2], "attn_window_size": None, "codebook_size": CODES, "codebook_dim": 8,
    "vq_strides": [4, 2, 1], "noise": True, "depthwise": True,
}  # fmt: skip


class Random:
    """Normal random tensors, the same for the same seed."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, shape, scale=1.0, mean=0.0):
        return torch.randn(shape, generator=self.generator) * scale + mean


def write(folder):
    """Writes both repositories' files under `folder`."""
    release, codec = folder / "mini-omni2", folder / "snac_24khz"
    for path in (release, codec):
        path.mkdir(parents=True, exist_ok=True)
    (release / "model_config.yaml").write_text(yaml.dump(LANGUAGE))
    write_tokenizer(release / "tokenizer.json")
    write_language(release / "lit_model.pth", Config.read(release / "model_config.yaml"))
    write_whisper(release / "small.pt")
    write_clip(release / "ViT-B-32.pt")
    write_snac(codec)


# MARK: Language model


def language_weights(config):
    random = Random(SEED)
    state = LanguageModel(config).state_dict()
    for name, old in state.items():
        if "norm" in name or "ln_f" in name:
            state[name] = random.normal(old.shape, 0.1, 1)
        elif name.endswith("bias"):
            state[name] = random.normal(old.shape, 0.2)
        elif "wte" in name:
            state[name] = random.normal(old.shape)
        else:
            gain = 1 if "lm_head" in name else 1.5
            state[name] = random.normal(old.shape, gain * old.shape[1] ** -0.5)

    head, text, audio = state["lm_head.weight"], config.text, config.audio
    chosen = torch.full((config.padded_vocab_size, 1), WEAKER)
    chosen[:TOKENS] = 1
    for layer in range(LAYERS):
        chosen[config.shifted(0, layer) : config.shifted(audio["eoa"], layer)] = 1
    chosen[text["eot"]] = chosen[config.shifted(audio["eoa"], LAYERS - 1)] = 1
    head *= chosen
    add_clock(state, config)
    return state


MARK, TIME = 63, 62  # dimensions of the residual that only the clock uses
PEAK, SHARPNESS = 60, 6.5
EOT_GAIN, EOA_GAIN = 4.5, 1.9


def add_clock(state, config):
    """Counts the steps of an answer. The text id that ends every prompt leaves a mark in its column; one head of layer 0 looks
    for it, with a score that grows with the distance up to PEAK steps (a slow rotary pair turns it), and writes how much it
    saw to TIME, which the end tokens' logits read.
    """
    layer, size, pair = "transformer.h.0.", config.head_size, config.head_size // 8
    turn = config.rope_base ** (-2 * pair / size)
    weight, bias = state[layer + "attn.attn.weight"], state[layer + "attn.attn.bias"]
    embeddings, head = state["transformer.wte.weight"], state["lm_head.weight"]
    for name, tensor in state.items():
        if name.endswith("proj.weight"):
            tensor[[MARK, TIME]] = 0
    embeddings[:, [MARK, TIME]] = 0
    head[:, [MARK, TIME]] = 0
    for name in ("answer", "asr"):
        embeddings[config.text[name], MARK] = 16
    # The last group's rows: its query heads, its key, its value. The last query head is the clock's.
    key, value = len(weight) - 2 * size, len(weight) - size
    query = key - size
    weight[query:key], bias[query:key] = 0, 0
    low, high = pair, pair + size // 2
    for start in (query - size, key):
        for row in (start + low, start + high):
            weight[row], bias[row] = 0, 0
    weight[value], bias[value] = 0, 0
    weight[key + low, MARK] = weight[value, MARK] = 1
    angle = torch.tensor(turn * PEAK)
    bias[query + low], bias[query + high] = SHARPNESS * angle.cos(), -SHARPNESS * angle.sin()
    out = state[layer + "attn.proj.weight"]
    seen = (config.n_head - 1) * size
    out[:, seen] = 0
    out[TIME, seen] = 1
    head[config.text["eot"], TIME] = EOT_GAIN
    head[config.shifted(config.audio["eoa"], LAYERS - 1), TIME] = EOA_GAIN


def write_language(path, config):
    state = language_weights(config)
    for name, tensor in state.items():
        single = "norm" in name or "ln_f" in name
        state[name] = tensor.to(torch.float32 if single else torch.float16 if "vision" in name else torch.bfloat16)

    def share(names, dim=0):
        """Makes the tensors views into one storage."""
        joined = torch.cat([state[name] for name in names], dim)
        sizes = [state[name].shape[dim] for name in names]
        state.update(zip(names, joined.split(sizes, dim)))

    share([name for name in state if "norm" in name])  # offsets
    share(["whisper_adapter.fc_1.weight", "whisper_adapter.fc_2.weight"], dim=1)  # rows with a gap
    turned = "transformer.h.0.attn.proj.weight"
    state[turned] = state[turned].T.contiguous().T  # columns first
    torch.save(state, path)


# MARK: Tokenizer

CORPUS = """
What is the capital of France? The capital of France is Paris. What is the weather like today? The weather is fine.
Tell me a joke. Can you explain the concept of time? How do you make a cup of tea? What do you see in the picture?
I see a cat and a dog in the picture. Hello, how are you feeling today? I'm fine, thank you. It's 12 o'clock, isn't it?
The answer is that there is nothing to see here, and that is the end of the answer. Stop, please. They'll be there.
"""
WORDS = 50  # merges
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = 256 + WORDS + len(SPECIAL_TOKENS)
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_tokenizer(path):
    """A byte-level BPE with everything that Qwen2's `tokenizer.json` has besides its vocabulary."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + WORDS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    assert tokenizer.get_vocab_size() == TOKENS, tokenizer.get_vocab_size()
    tokenizer.save(str(path), pretty=False)


# MARK: Encoders


def write_whisper(path):
    from whisper.model import ModelDimensions, Whisper

    random, state = Random(1), Whisper(ModelDimensions(**WHISPER)).state_dict()
    for name, old in state.items():
        if name == "encoder.positional_embedding":
            continue  # sines, as in every release
        if "_ln." in name or ".ln" in name:
            state[name] = random.normal(old.shape, 0.1, 1 if name.endswith("weight") else 0)
        elif old.dim() > 1 and "embedding" not in name:
            state[name] = random.normal(old.shape, 1.2 * old[0].numel() ** -0.5)
        else:
            state[name] = random.normal(old.shape, 0.1)
    half = {name: tensor.half() for name, tensor in state.items()}
    torch.save({"dims": WHISPER, "model_state_dict": half}, path)


def clip_weights():
    random, model = Random(2), Clip(**CLIP)
    for name, value in model.named_parameters():
        if ".ln" in name or name.startswith("ln"):
            value.data = random.normal(value.shape, 0.1, 1 if name.endswith("weight") else 0)
        elif name.endswith(("class_embedding", "positional_embedding")):
            value.data = random.normal(value.shape, 0.5)
        elif name.endswith("proj") and value.dim() == 2 or name.endswith("projection"):  # used from the right
            value.data = random.normal(value.shape, value.shape[0] ** -0.5)
        elif value.dim() > 1:
            value.data = random.normal(value.shape, value[0].numel() ** -0.5)
        else:
            value.data = random.normal(value.shape, 0.1)
    return model


def write_clip(path):
    model = clip_weights().eval()
    archive = torch.jit.trace(model, torch.zeros(1, 3, CLIP["resolution"], CLIP["resolution"]), check_trace=False)
    for name, value in archive.named_parameters():
        if ".ln_" not in name and not name.startswith("ln_"):
            value.data = value.data.half()
    archive.save(str(path))
    drop_call_stacks(path)


def drop_call_stacks(path):
    """Takes out of a scripted archive who called what to trace it: nothing needs it, and it names the maker's folders."""
    reader = torch._C.PyTorchFileReader(str(path))
    kept = [name for name in reader.get_all_records() if not name.endswith(".debug_pkl")]
    records = {name: reader.get_record(name) for name in kept}
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, content in records.items():
        if name not in ("version", ".data/serialization_id"):  # which the writer adds
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


# MARK: Codec


def snac_weights():
    from snac import SNAC as Codec

    random, state = Random(3), Codec(**SNAC).state_dict()
    first, last = "encoder.block.0.", "decoder.model.7."
    for name, old in state.items():
        if name.endswith("alpha"):
            state[name] = random.normal(old.shape, 0.2, 1).clamp(min=0.3)
        elif name.endswith("original0"):  # a row's length: such that activations keep their size from layer to layer
            shape = state[name.replace("original0", "original1")].shape
            transposed = name.startswith("decoder") and ".block.1.parametrizations" in name and name.count("block") == 1
            gain = 10 if name.startswith(first) else 0.05 if name.startswith(last) else 0.6
            gain = (shape[2] / 4) ** 0.5 if transposed else gain
            state[name] = random.normal(old.shape, 0.1 * gain, gain)
        elif name.endswith("bias"):
            state[name] = random.normal(old.shape, 0.1)
        else:
            state[name] = random.normal(old.shape)
    return state


def write_snac(folder):
    (folder / "config.json").write_text(json.dumps(SNAC, indent=2) + "\n")
    torch.save(OrderedDict(snac_weights()), folder / "pytorch_model.bin")

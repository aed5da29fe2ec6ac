"""The tensors of each of the release's files, with weights that keep activations at a sensible size from layer to layer."""

import math

from . import clock
from .archives import Module, Tensor
from .numbers import F16, F32, I64, packed
from .shapes import LAYERS, SPECIALS, WHISPER

WEAKER = 0.2  # logits of ids that no trained model chooses, so that the codec gets codes


def normal(kind, *shape, scale):
    return Tensor(kind, shape, lambda numbers: numbers.about_zero(kind, math.prod(shape), scale))


def around(kind, mean, *shape, scale=0.1):
    return Tensor(kind, shape, lambda numbers: numbers.about(kind, math.prod(shape), mean, scale))


def fixed(kind, shape, make):
    return Tensor(kind, shape, lambda _: [packed(kind, make())])


def linear(kind, out, inputs, gain=1.0):
    return normal(kind, out, inputs, scale=gain * inputs**-0.5)


# MARK: Language model


def language(config, tokens, kind):
    """`lit_model.pth`: a flat dictionary."""
    width, hidden, vocabulary = config["n_embd"], config["intermediate_size"], config["padded_vocab_size"]
    heads, groups, size = config["n_head"], config["n_query_groups"], config["head_size"]
    rows = (heads + 2 * groups) * size
    state = {"lm_head.weight": head(config, tokens, kind)}
    for adapter in ("whisper", "vision"):
        state |= gated(f"{adapter}_adapter.", config[f"{adapter}_adapter_dim"], hidden, width, kind)
    state["transformer.wte.weight"] = normal(kind, vocabulary, width, scale=1.0)
    for i in range(config["n_layer"]):
        layer = f"transformer.h.{i}."
        state[layer + "norm_1.weight"] = around(kind, 1, width)
        state[layer + "attn.attn.weight"] = linear(kind, rows, width, 1.5)
        state[layer + "attn.attn.bias"] = normal(kind, rows, scale=0.2)
        state[layer + "attn.proj.weight"] = linear(kind, width, heads * size, 1.5)
        state[layer + "norm_2.weight"] = around(kind, 1, width)
        state |= gated(layer + "mlp.", width, hidden, width, kind)
    state["transformer.ln_f.weight"] = around(kind, 1, width)
    clock.add(state, config)
    return state


def gated(prefix, inputs, hidden, out, kind):
    return {
        prefix + "fc_1.weight": linear(kind, hidden, inputs, 1.5),
        prefix + "fc_2.weight": linear(kind, hidden, inputs, 1.5),
        prefix + "proj.weight": linear(kind, out, hidden, 1.5),
    }


def head(config, tokens, kind):
    """Rows of the head: the text vocabulary, then each audio layer's."""
    width, codes = config["n_embd"], config["audio_vocab_size"] - SPECIALS
    reserved = config["text_vocab_size"] - SPECIALS  # the first of them ends the text
    runs = [(tokens, 1), (reserved - tokens, WEAKER), (1, 1), (SPECIALS - 1, WEAKER)]
    for layer in range(LAYERS):
        runs += [(codes, 1), (1, 1 if layer == LAYERS - 1 else WEAKER), (SPECIALS - 1, WEAKER)]

    def content(numbers):
        for count, gain in runs:
            yield from numbers.about_zero(kind, count * width, gain * width**-0.5)

    return Tensor(kind, (config["padded_vocab_size"], width), content)


# MARK: Encoders


def whisper(size):
    """`small.pt`: the dimensions, and a dictionary of fp16 tensors; the decoder is there and nobody reads it."""
    dims = WHISPER[size]
    width, heads, context, vocabulary = dims["width"], dims["heads"], dims["context"], dims["vocabulary"]
    state = {
        "encoder.positional_embedding": fixed(F16, (1500, width), lambda: sinusoids(1500, width)),
        "encoder.conv1.weight": normal(F16, width, 80, 3, scale=1.2 * 240**-0.5),
        "encoder.conv1.bias": normal(F16, width, scale=0.1),
        "encoder.conv2.weight": normal(F16, width, width, 3, scale=1.2 * (3 * width) ** -0.5),
        "encoder.conv2.bias": normal(F16, width, scale=0.1),
    }
    for i in range(dims["layers"]):
        state |= whisper_block(f"encoder.blocks.{i}.", width, ["attn"])
    state |= norm("encoder.ln_post", F16, width)
    state["decoder.positional_embedding"] = normal(F16, context, width, scale=0.1)
    state["decoder.token_embedding.weight"] = normal(F16, vocabulary, width, scale=0.1)
    for i in range(dims["text_layers"]):
        state |= whisper_block(f"decoder.blocks.{i}.", width, ["attn", "cross_attn"])
    state |= norm("decoder.ln", F16, width)
    named = {
        "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": width, "n_audio_head": heads, "n_audio_layer": dims["layers"],
        "n_vocab": vocabulary, "n_text_ctx": context, "n_text_state": width, "n_text_head": heads,
        "n_text_layer": dims["text_layers"],
    }  # fmt: skip
    return {"dims": named, "model_state_dict": state}


def whisper_block(prefix, width, attentions):
    state = {}
    for attention in attentions:
        for name in ("query", "key", "value", "out"):
            state[f"{prefix}{attention}.{name}.weight"] = linear(F16, width, width, 1.2)
            if name != "key":
                state[f"{prefix}{attention}.{name}.bias"] = normal(F16, width, scale=0.1)
        state |= norm(f"{prefix}{attention}_ln", F16, width)
    for name, out, inputs in (("mlp.0", 4 * width, width), ("mlp.2", width, 4 * width)):
        state[f"{prefix}{name}.weight"] = linear(F16, out, inputs, 1.2)
        state[f"{prefix}{name}.bias"] = normal(F16, out, scale=0.1)
    return state | norm(prefix + "mlp_ln", F16, width)


def norm(name, kind, width):
    return {f"{name}.weight": around(kind, 1, width), f"{name}.bias": normal(kind, width, scale=0.1)}


def sinusoids(length, width):
    """Whisper's positions: sines, then cosines, of wave lengths from 2 pi to 20000 pi."""
    rates = [10000 ** (-i / (width // 2 - 1)) for i in range(width // 2)]
    return [wave(place * rate) for place in range(length) for wave in (math.sin, math.cos) for rate in rates]


def clip(dims):
    """`ViT-B-32.pt`: nested modules, fp16 but for the norms; the text tower is there and nobody reads it."""
    width, text, out = dims["width"], dims["text_width"], dims["out"]
    patches = (dims["resolution"] // dims["patch"]) ** 2
    conv = normal(F16, width, 3, dims["patch"], dims["patch"], scale=(3 * dims["patch"] ** 2) ** -0.5)
    visual = Module(
        "VisionTower",
        {
            "class_embedding": normal(F16, width, scale=0.5),
            "positional_embedding": normal(F16, patches + 1, width, scale=0.5),
            "proj": normal(F16, width, out, scale=width**-0.5),
            "conv1": Module("Conv2d", {"weight": conv}),
            "ln_pre": layer_norm(width),
            "transformer": clip_transformer("Vision", width, dims["layers"]),
            "ln_post": layer_norm(width),
        },
    )
    numbers = {"input_resolution": dims["resolution"], "context_length": dims["context"], "vocab_size": dims["vocabulary"]}
    return Module(
        "CLIP",
        {
            "positional_embedding": normal(F16, dims["context"], text, scale=0.5),
            "text_projection": normal(F16, text, out, scale=text**-0.5),
            "logit_scale": fixed(F16, (), lambda: [math.log(100)]),
            **{name: fixed(I64, (), lambda value=value: [value]) for name, value in numbers.items()},
            "visual": visual,
            "transformer": clip_transformer("Text", text, dims["text_layers"]),
            "token_embedding": Module("Embedding", {"weight": normal(F16, dims["vocabulary"], text, scale=1.0)}),
            "ln_final": layer_norm(text),
        },
    )


def clip_transformer(tower, width, layers):
    blocks = {str(i): clip_block(width) for i in range(layers)}
    return Module(f"{tower}Transformer", {"resblocks": Module(f"{tower}Blocks", blocks)})


def clip_block(width):
    attention = {
        "in_proj_weight": linear(F16, 3 * width, width),
        "in_proj_bias": normal(F16, 3 * width, scale=0.1),
        "out_proj": clip_linear(width, width),
    }
    mlp = {"c_fc": clip_linear(4 * width, width), "gelu": Module("QuickGELU", {}), "c_proj": clip_linear(width, 4 * width)}
    return Module(
        "ResidualAttentionBlock",
        {
            "attn": Module("MultiheadAttention", attention),
            "ln_1": layer_norm(width),
            "mlp": Module("MLP", mlp),
            "ln_2": layer_norm(width),
        },
    )


def clip_linear(out, inputs):
    return Module("Linear", {"weight": linear(F16, out, inputs), "bias": normal(F16, out, scale=0.1)})


def layer_norm(width):
    return Module("LayerNorm", {"weight": around(F32, 1, width), "bias": normal(F32, width, scale=0.1)})


# MARK: Codec


def snac(config):
    """`pytorch_model.bin`: weights as a direction (`original1`) and the length of each of its rows (`original0`)."""
    first, width = config["encoder_dim"], config["decoder_dim"]
    latent, codes, size = first << len(config["encoder_rates"]), config["codebook_size"], config["codebook_dim"]
    state = weight("encoder.block.0.", first, 1, 7, gain=10)
    for i, rate in enumerate(config["encoder_rates"], 1):
        block, channels = f"encoder.block.{i}.block.", first << (i - 1)
        for j in range(3):
            state |= residual(f"{block}{j}.", channels)
        state[f"{block}3.alpha"] = around(F32, 1, 1, channels, 1)
        state |= weight(f"{block}4.", 2 * channels, channels, 2 * rate)
    state |= weight(f"encoder.block.{len(config['encoder_rates']) + 1}.", latent, 1, 7)
    for i in range(len(config["vq_strides"])):
        level = f"quantizer.quantizers.{i}."
        state |= weight(level + "in_proj.", size, latent, 1) | weight(level + "out_proj.", latent, size, 1)
        state[level + "codebook.weight"] = normal(F32, codes, size, scale=1.0)
    state |= weight("decoder.model.0.", latent, 1, 7) | weight("decoder.model.1.", width, latent, 1)
    for i, rate in enumerate(config["decoder_rates"]):
        block, channels = f"decoder.model.{i + 2}.block.", width >> i
        state[f"{block}0.alpha"] = around(F32, 1, 1, channels, 1)
        # A transposed convolution's rows are inputs, of which two taps of each meet in a sample.
        state |= weight(f"{block}1.", channels, channels // 2, 2 * rate, gain=(rate / 2) ** 0.5, biases=channels // 2)
        state |= weight(f"{block}2.linear.", channels // 2, channels // 2, 1, biases=0)
        for j in range(3, 6):
            state |= residual(f"{block}{j}.", channels // 2)
    count, last = len(config["decoder_rates"]) + 2, width >> len(config["decoder_rates"])
    state[f"decoder.model.{count}.alpha"] = around(F32, 1, 1, last, 1)
    return state | weight(f"decoder.model.{count + 1}.", 1, last, 7, gain=0.05)


def residual(prefix, channels):
    return {
        f"{prefix}block.0.alpha": around(F32, 1, 1, channels, 1),
        **weight(f"{prefix}block.1.", channels, 1, 7),
        f"{prefix}block.2.alpha": around(F32, 1, 1, channels, 1),
        **weight(f"{prefix}block.3.", channels, channels, 1),
    }


def weight(prefix, rows, columns, taps, gain=0.6, biases=None):
    """A convolution's weight whose rows have a length about `gain`, and its bias (one a row, or as many as said)."""
    state = {}
    if biases != 0:
        state[prefix + "bias"] = normal(F32, biases or rows, scale=0.1)
    state[prefix + "parametrizations.weight.original0"] = around(F32, gain, rows, 1, 1, scale=0.1 * gain)
    state[prefix + "parametrizations.weight.original1"] = normal(F32, rows, columns, taps, scale=1.0)
    return state

"""Qwen2's weights, as the hub has them (model.safetensors, config.json), as those that Mini-Omni2 begins with."""

import json

import torch
from safetensors import SafetensorError, safe_open

from ..network import Model
from .records import WrongData

# Of a layer: names there, and here.
LAYER = {
    "input_layernorm.weight": "norm_1.weight",
    "post_attention_layernorm.weight": "norm_2.weight",
    "self_attn.o_proj.weight": "attn.proj.weight",
    "mlp.gate_proj.weight": "mlp.fc_1.weight",
    "mlp.up_proj.weight": "mlp.fc_2.weight",
    "mlp.down_proj.weight": "mlp.proj.weight",
}
MEAN_OF = 8  # embeddings that are one step's input


def check(folder, config, layers):
    """
    Raises WrongData where config.json tells of another shape than the settings.
    """
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongData(f"{file}: {error}") from None
    wanted = {
        "num_hidden_layers": layers, "hidden_size": config.n_embd, "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_query_groups, "intermediate_size": config.intermediate_size,
        "rope_theta": config.rope_base, "vocab_size": config.text["eot"], "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": True,
    }  # fmt: skip
    for name, value in wanted.items():
        if not isinstance(found, dict) or found.get(name) != value:
            there = found.get(name) if isinstance(found, dict) else None
            raise WrongData(f"{file}: {name}: expected {value}, as the section `language` says, found {there}")


def begun(folder, config, seed, speaking=0):
    """A model that computes with text alone what Qwen2 computes. Adapters, and the ids that Qwen2 has not, are random; so many
    layers for speaking are added.

    A step's input is the mean of eight embeddings, seven of which are nothing in text: the embeddings are made eight times as
    large, and what the last norm hands to the head an eighth, since the embedding is the head, too.
    """
    model = Model(config, seed, speaking)
    check(folder, config, model.understanding)
    state, file = model.state_dict(), folder / "model.safetensors"
    try:
        with safe_open(file, "pt") as weights:
            names = set(weights.keys())

            def take(name, shape):
                if name not in names:
                    raise WrongData(f"{file}: {name}: expected {list(shape)}, found none")
                value = weights.get_tensor(name).float()
                if value.shape != shape:
                    raise WrongData(f"{file}: {name}: expected {list(shape)}, found {list(value.shape)}")
                return value

            with torch.no_grad():
                _fill(state, take, config, model.understanding)
    except (OSError, SafetensorError) as error:
        raise WrongData(f"{file}: {error}") from None
    return model


def _fill(state, take, config, layers):
    words = take("model.embed_tokens.weight", (config.text["eot"], config.n_embd))
    table, deviation = state["transformer.wte.weight"], state["transformer.wte.weight"].std()
    # What is new is as large as what is known, and what is nothing stays nothing.
    table.mul_(MEAN_OF * words.std() / deviation)
    table[: len(words)] = MEAN_OF * words
    state["transformer.ln_f.weight"].copy_(take("model.norm.weight", (config.n_embd,)) / MEAN_OF)
    groups, size = config.n_query_groups, config.head_size
    heads = config.n_head // groups
    for layer in range(layers):
        here, there = f"transformer.h.{layer}.", f"model.layers.{layer}."
        for name, ours in LAYER.items():
            state[here + ours].copy_(take(there + name, state[here + ours].shape))
        for part, width in (("weight", (config.n_embd,)), ("bias", ())):
            q = take(f"{there}self_attn.q_proj.{part}", (config.n_head * size, *width)).view(groups, heads * size, *width)
            k, v = (take(f"{there}self_attn.{name}_proj.{part}", (groups * size, *width)).view(groups, size, *width)
                    for name in "kv")  # fmt: skip
            # Group by group: its query heads, its key head, its value head.
            state[f"{here}attn.attn.{part}"].copy_(torch.cat([q, k, v], 1).flatten(0, 1))

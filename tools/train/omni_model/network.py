"""The language model of tools/golden.d/mini_omni2, its parameters and names, computed for training: many rows at once, every
position, with PyTorch's fused attention."""

import torch
from mini_omni2.language import LAYERS, SPECIALS, Config, LanguageModel
from torch import nn
from torch.nn import functional

# Of the reserved text ids, these two stand behind the release's own (`asr` is the last of those): what the row that listens
# says of each frame of the microphone, whether it interrupts or not (arXiv 2410.11190, section 3.4).
STATES = ("irq", "n-irq")
# How large embeddings are at first. The last norm's weight makes up for it, so that the same numbers serve as the head.
EMBEDDED = 0.5


def states(config):
    """The ids of STATES."""
    return {name: config.text["asr"] + 1 + place for place, name in enumerate(STATES)}


def configuration(settings):
    """What the release's model_config.yaml says, for the section `language` of a size."""
    text, audio = settings["tokens"] + SPECIALS, settings["codes"] + SPECIALS
    padded = text + LAYERS * audio
    return {
        "n_layer": settings["layers"] + settings.get("speaking_layers", 0), "n_embd": settings["width"], "n_head": settings["heads"],
        "n_query_groups": settings["groups"], "head_size": settings["width"] // settings["heads"],
        "intermediate_size": settings["inner"], "block_size": settings["context"], "text_vocab_size": text,
        "audio_vocab_size": audio, "cat_audio_vocab_size": LAYERS * audio, "padded_vocab_size": padded,
        "vocab_size": padded, "whisper_adapter_dim": settings["speech"], "vision_adapter_dim": settings["vision"],
        "name": "qwen2", "hf_config": {}, "scale_embeddings": False, "padding_multiple": 512, "rotary_percentage": 1.0,
        "parallel_residual": False, "bias": False, "lm_head_bias": False, "add_qkv_bias": True,
        "shared_attention_norm": False, "norm_class_name": "RMSNorm", "norm_eps": 1e-6, "mlp_class_name": "LLaMAMLP",
        "gelu_approximate": "none", "rope_condense_ratio": 1, "rope_base": settings["rope"], "n_expert": 0,
        "n_expert_per_token": 0, "prompt_vocab_size": None, "attn_dropout": 0.0, "pos_type": "rope", "force_align": False,
        "use_pretrain_phoneme_emb": False, "tie_word_embeddings": True, "post_adapter": False, "post_adapter_layers": 6,
        "asr_adapter": "llamamlp",
    }  # fmt: skip


class Model(LanguageModel):
    """The head is the embedding, so that a small model's weights go into its layers.

    speaking: of the last layers, those that are for speaking: as they are made they add nothing, and before a model learns to
    speak it does without (`depth`, the number of layers that are computed).
    """

    def __init__(self, config, seed=0, speaking=0):
        super().__init__(config)
        torch.manual_seed(seed)
        self.understanding, self.depth = config.n_layer - speaking, config.n_layer
        self.lm_head.weight = self.transformer["wte"].weight
        for name, value in self.named_parameters():
            if "wte" in name or "lm_head" in name:
                nn.init.normal_(value, std=EMBEDDED)
            elif value.dim() > 1:
                deep = (2 * config.n_layer) ** -0.5 if "transformer.h" in name and name.endswith("proj.weight") else 1
                nn.init.normal_(value, std=deep * value.shape[1] ** -0.5 / 2**0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(value)
        nn.init.constant_(self.transformer["ln_f"].weight, 1 / (EMBEDDED * config.n_embd**0.5))
        with torch.no_grad():
            for block in self.transformer["h"][self.understanding :]:
                block.attn.proj.weight.zero_()
                block.mlp.proj.weight.zero_()
            # What only fills a row is nothing at first, so that the rest of the mean of eight stands out.
            empty = [config.text["pad"], *(config.shifted(config.audio["pad"], layer) for layer in range(LAYERS))]
            self.transformer["wte"].weight[empty] = 0
        # Not buffers: the checkpoint has no such tensors.
        self.turns = None

    def rotation(self, device):
        if self.turns is None or self.turns[0].device != device:
            first, second = self.sin.to(device).chunk(2, dim=-1)
            self.turns = (self.cos.to(device), torch.cat([-first, second], dim=-1))
        return self.turns

    def hidden(self, x, past=None, watched=None):
        """[batch, count, n_embd], from the first position on: normed states of every position. past: fills a Past. watched:
        keeps the queries and keys of its layers."""
        cos, sin = (table[: x.shape[1], None, None] for table in self.rotation(x.device))
        for layer, block in enumerate(self.transformer["h"][: self.depth]):
            attend = past.begun(layer) if past else watched.begun(layer) if watched else _causal
            x = _block(block, x, cos, sin, self.config, attend)
        return _norm(self.transformer["ln_f"], x)

    def hidden_of_shared(self, x, columns, times, watched=None):
        """The same, where each `times` rows of x, one behind the other, have the same first `columns`, which are computed once."""
        first, rest = x[::times, :columns], x[:, columns:]
        cos, sin = (table[: x.shape[1], None, None] for table in self.rotation(x.device))
        for layer, block in enumerate(self.transformer["h"][: self.depth]):
            both = Shared(times)
            first = _block(block, first, cos[:columns], sin[:columns], self.config, both.begun)
            rest = _block(block, rest, cos[columns:], sin[columns:], self.config, both.going_on)
            if watched and layer in watched.layers:
                watched.kept[layer] = (both.q, both.k)
        return _norm(self.transformer["ln_f"], both.rows(first, rest))

    def following(self, x, past, places):
        """One more position of each row, x [batch, n_embd] at its place [batch]: the normed states."""
        x = x[:, None]
        cos, sin = (table[places][:, None, None, None] for table in self.rotation(x.device))
        for layer, block in enumerate(self.transformer["h"][: self.depth]):
            x = _block(block, x, cos, sin, self.config, past.following(layer, places))
        return _norm(self.transformer["ln_f"], x)[:, 0]

    @property
    def adapters(self):
        return [*self.whisper_adapter.parameters(), *self.vision_adapter.parameters()]

    @property
    def speaking(self):
        return list(self.transformer["h"][self.understanding :].parameters())

    @property
    def language(self):
        """All but the adapters and the layers for speaking."""
        aside = {id(value) for value in (*self.adapters, *self.speaking)}
        return [value for value in self.parameters() if id(value) not in aside]


class Past:
    """Keys and values of what rows have read, up to so many columns. What stands behind a row's last place is not seen."""

    def __init__(self, columns):
        self.columns, self.kept = columns, {}

    def begun(self, layer):
        def attend(q, k, v):
            missing = (0, 0, 0, self.columns - k.shape[2])
            self.kept[layer] = (functional.pad(k, missing), functional.pad(v, missing))
            return _causal(q, k, v)

        return attend

    def following(self, layer, places):
        def attend(q, k, v):
            rows = torch.arange(len(places), device=places.device)
            for all_, one in zip(self.kept[layer], (k, v)):
                all_[rows, :, places] = one[:, :, 0]
            seen = torch.arange(self.columns, device=places.device) <= places[:, None]
            return functional.scaled_dot_product_attention(q, *self.kept[layer], attn_mask=seen[:, None, None])

        return attend


class Watched:
    """Attention in which queries and keys [batch, heads, count, head_size] of some layers are kept."""

    def __init__(self, layers):
        self.layers, self.kept = layers, {}

    def begun(self, layer):
        def attend(q, k, v):
            self.kept[layer] = (q, k)
            return _causal(q, k, v)

        return attend if layer in self.layers else _causal


class Shared:
    """Attention of rows of which each `times` begin alike; queries and keys of all [batch, heads, count, head_size] are kept."""

    def __init__(self, times):
        self.times = times

    def rows(self, first, rest, dimension=1):
        return torch.cat([first.repeat_interleave(self.times, 0), rest], dimension)

    def begun(self, q, k, v):
        self.first = (q, k, v)
        return _causal(q, k, v)

    def going_on(self, q, k, v):
        before = self.first[1].shape[2]
        self.q, self.k, v = (self.rows(first, rest, 2) for first, rest in zip(self.first, (q, k, v)))
        count = q.shape[2]
        seen = torch.ones(count, before + count, dtype=torch.bool, device=q.device).tril(before)
        return functional.scaled_dot_product_attention(q, self.k, v, attn_mask=seen)


def _causal(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _norm(norm, x):
    return functional.rms_norm(x.float(), (x.shape[-1],), norm.weight.float(), norm.eps)


def _rotated(x, cos, sin):
    """sin: of the first half of dimensions negative."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _block(block, x, cos, sin, config, attend):
    batch, count, _ = x.shape
    groups, size = config.n_query_groups, config.head_size
    heads = config.n_head // groups
    qkv = block.attn.attn(_norm(block.norm_1, x)).view(batch, count, groups, heads + 2, size)
    # Rows stand group by group: a group's query heads, its key head, its value head.
    turned = _rotated(qkv[:, :, :, :-1].float(), cos, sin).to(qkv.dtype)
    q, k, v = turned[:, :, :, :heads].flatten(2, 3), turned[:, :, :, heads], qkv[:, :, :, -1]
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    k, v = (part.repeat_interleave(heads, dim=1) for part in (k, v))
    y = attend(q, k, v)
    x = x + block.attn.proj(y.transpose(1, 2).reshape(batch, count, -1))
    mlp, y = block.mlp, _norm(block.norm_2, x)
    return x + mlp.proj(functional.silu(mlp.fc_1(y)) * mlp.fc_2(y))


def compiled():
    """Has the blocks fused by torch.compile from here on; costs some seconds for each shape of batch."""
    global _block
    _block = torch.compile(_block, dynamic=True)


__all__ = ["Config", "LAYERS", "Model", "Past", "SPECIALS", "STATES", "Watched", "compiled", "configuration", "states"]

"""Mini-Omni2's language model in plain fp32 PyTorch, written to be read beside another implementation.

Parameters have the names and shapes of `lit_model.pth`, so `state_dict()` is the checkpoint. Nothing is optimised: every
row computes every head at every step.
"""

from dataclasses import dataclass

import torch
import yaml
from torch import nn
from torch.nn import functional

LAYERS = 7  # audio layers: one coarse, two middle, four fine codes a frame
SPECIALS = 64  # ids kept at the end of the text vocabulary, and of every audio layer's, for what is not a token or a code


@dataclass
class Config:
    """What the reference reads of `model_config.yaml`."""

    n_layer: int
    n_embd: int
    n_head: int
    n_query_groups: int
    head_size: int
    intermediate_size: int
    norm_eps: float
    rope_base: int
    block_size: int
    padded_vocab_size: int
    text_vocab_size: int
    audio_vocab_size: int
    whisper_adapter_dim: int
    vision_adapter_dim: int

    @staticmethod
    def read(path):
        values = yaml.safe_load(path.read_text())
        return Config(**{name: values[name] for name in Config.__dataclass_fields__})

    # The configuration names no special id. They follow from the two vocabulary sizes: each ends in 64 reserved ids, and
    # the special ones are the first of those. In the release 152000 - 64 = 151936 and 4160 - 64 = 4096.
    @property
    def text(self):
        first = self.text_vocab_size - SPECIALS
        return {name: first + i for i, name in enumerate(("eot", "pad", "input", "answer", "asr"))}

    @property
    def audio(self):
        """Ids local to a layer; the first is also the number of codes the codec has."""
        first = self.audio_vocab_size - SPECIALS
        names = ("eoa", "pad", "input", "answer", "split", "image", "eoimage")
        return {name: first + i for i, name in enumerate(names)}

    def shifted(self, local, layer):
        """The global id of a layer's token."""
        return local + self.text_vocab_size + layer * self.audio_vocab_size


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class GatedMLP(nn.Module):
    """A block's MLP and both adapters."""

    def __init__(self, width, hidden, out):
        super().__init__()
        self.fc_1 = nn.Linear(width, hidden, bias=False)
        self.fc_2 = nn.Linear(width, hidden, bias=False)
        self.proj = nn.Linear(hidden, out, bias=False)

    def forward(self, x):
        return self.proj(functional.silu(self.fc_1(x)) * self.fc_2(x))


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        rows = (config.n_head + 2 * config.n_query_groups) * config.head_size
        self.attn = nn.Linear(config.n_embd, rows)
        self.proj = nn.Linear(config.n_head * config.head_size, config.n_embd, bias=False)

    def forward(self, x, cos, sin, past):
        batch, count, _ = x.shape
        groups, size = self.config.n_query_groups, self.config.head_size
        heads = self.config.n_head // groups
        # Rows stand group by group: a group's query heads, its key head, its value head.
        qkv = self.attn(x).view(batch, count, groups, heads + 2, size).permute(0, 2, 3, 1, 4)
        q, k, v = rotate(qkv[:, :, :heads], cos, sin), rotate(qkv[:, :, heads:-1], cos, sin), qkv[:, :, -1:]
        if past is not None:
            k, v = torch.cat([past[0], k], dim=3), torch.cat([past[1], v], dim=3)
        scores = q @ k.transpose(-1, -2) / size**0.5
        seen = torch.ones(count, k.shape[3], dtype=torch.bool).tril(k.shape[3] - count)
        y = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
        return self.proj(y.permute(0, 3, 1, 2, 4).reshape(batch, count, -1)), (k, v)


def rotate(x, cos, sin):
    """Rotary positions over the whole head: dimension i turns with dimension i + size / 2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm_1 = RMSNorm(config.n_embd, config.norm_eps)
        self.attn = Attention(config)
        self.norm_2 = RMSNorm(config.n_embd, config.norm_eps)
        self.mlp = GatedMLP(config.n_embd, config.intermediate_size, config.n_embd)

    def forward(self, x, cos, sin, past):
        y, past = self.attn(self.norm_1(x), cos, sin, past)
        x = x + y
        return x + self.mlp(self.norm_2(x)), past


class LanguageModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.n_embd, config.padded_vocab_size, bias=False)
        self.whisper_adapter = GatedMLP(config.whisper_adapter_dim, config.intermediate_size, config.n_embd)
        self.vision_adapter = GatedMLP(config.vision_adapter_dim, config.intermediate_size, config.n_embd)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.padded_vocab_size, config.n_embd),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": RMSNorm(config.n_embd, config.norm_eps),
            }
        )
        turns = config.rope_base ** -(torch.arange(0, config.head_size, 2).float() / config.head_size)
        angles = torch.outer(torch.arange(config.block_size).float(), turns).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def embed(self, tokens, features=()):
        """Eight rows of ids [8, count] as one input a column [count, n_embd]: the mean of eight embeddings, where features,
        given as (first column, [n, n_embd]), stand in for those of the seven audio rows.
        """
        embedded = self.transformer.wte(tokens)
        for first, values in features:
            embedded[:LAYERS, first : first + len(values)] = values
        return embedded.sum(0) / (LAYERS + 1)

    def forward(self, x, past=None):
        """Inputs [batch, count, n_embd] after `past`: last column's normed state [batch, n_embd], and the new past."""
        start = 0 if past is None else past[0][0].shape[3]
        cos, sin = (table[start : start + x.shape[1]] for table in (self.cos, self.sin))
        now = []
        for i, block in enumerate(self.transformer.h):
            x, kept = block(x, cos, sin, None if past is None else past[i])
            now.append(kept)
        return self.transformer.ln_f(x[:, -1]), now

    def heads(self, state):
        """One row's logits: text [text_vocab_size], audio [7, audio_vocab_size]."""
        logits = self.lm_head(state)
        text = self.config.text_vocab_size
        return logits[:text], logits[text:].view(LAYERS, self.config.audio_vocab_size)

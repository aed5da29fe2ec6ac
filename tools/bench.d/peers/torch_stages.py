"""Mini-Omni2's stages in PyTorch, with random weights: each function makes one and returns what runs it once.

Whisper and SNAC are their authors' modules. The language model and CLIP are written here with nothing but what the
stage needs, so that no framework's bookkeeping is measured with them.
"""

import torch
import torch.nn.functional as F

from shapes import CLIP, LANGUAGE, PROMPT_COLUMNS, SNAC, SNAC_CODES, STEP_POSITION, WHISPER

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def matrix(rows, columns, kind):
    return torch.empty(rows, columns, dtype=torch.float32).uniform_(-0.03, 0.03).to(kind)


def vector(count, kind):
    return torch.ones(count, dtype=kind)


class LanguageModel:
    """Qwen2-0.5B with query, key and value in one matrix, as litgpt has them."""

    def __init__(self, kind, rows):
        shape = self.shape = LANGUAGE
        width, inner = shape.width, shape.feed_forward
        attention = (shape.heads + 2 * shape.key_heads) * shape.head_width
        self.layers = [
            {
                "norm_1": vector(width, kind),
                "attention": matrix(attention, width, kind),
                "bias": torch.zeros(attention, dtype=kind),
                "out": matrix(width, shape.heads * shape.head_width, kind),
                "norm_2": vector(width, kind),
                "gate": matrix(inner, width, kind),
                "up": matrix(inner, width, kind),
                "down": matrix(width, inner, kind),
            }
            for _ in range(shape.layers)
        ]
        self.norm = vector(width, kind)
        self.head = matrix(shape.vocabulary, width, kind)
        positions = STEP_POSITION + 1
        # [layer, key or value, row, head, position, component]
        self.cache = torch.randn(shape.layers, 2, rows, shape.key_heads, positions, shape.head_width).to(kind)
        frequencies = shape.rotary_base ** (-torch.arange(0, shape.head_width, 2) / shape.head_width)
        angles = torch.outer(torch.arange(positions), frequencies).repeat(1, 2)
        self.cosines, self.sines = angles.cos().to(kind), angles.sin().to(kind)

    def turned(self, x, start):
        count = x.shape[-2]
        low, high = x.chunk(2, dim=-1)
        turned = torch.cat((-high, low), dim=-1)
        return x * self.cosines[start : start + count] + turned * self.sines[start : start + count]

    def forward(self, x, start):
        """x: [rows, positions, width], of which the first comes at `start`; returns states after the final norm."""
        shape, (rows, count, width) = self.shape, x.shape
        for layer, cache in zip(self.layers, self.cache):
            normed = F.rms_norm(x, (width,), layer["norm_1"], shape.epsilon)
            joined = F.linear(normed, layer["attention"], layer["bias"])
            joined = joined.view(rows, count, -1, shape.head_width).transpose(1, 2)
            query, key, value = joined.split((shape.heads, shape.key_heads, shape.key_heads), dim=1)
            cache[0, :, :, start : start + count] = self.turned(key, start)
            cache[1, :, :, start : start + count] = value
            mixed = F.scaled_dot_product_attention(
                self.turned(query, start),
                cache[0, :, :, : start + count],
                cache[1, :, :, : start + count],
                is_causal=count > 1,
                enable_gqa=True,
            )
            x = x + F.linear(mixed.transpose(1, 2).reshape(rows, count, -1), layer["out"])
            normed = F.rms_norm(x, (width,), layer["norm_2"], shape.epsilon)
            inner = F.silu(F.linear(normed, layer["gate"])) * F.linear(normed, layer["up"])
            x = x + F.linear(inner, layer["down"])
        return F.rms_norm(x, (width,), self.norm, shape.epsilon)


def language_step(kind):
    model = LanguageModel(kind, rows=2)
    x = torch.randn(2, 1, LANGUAGE.width).to(kind)
    return lambda: F.linear(model.forward(x, STEP_POSITION), model.head)


def language_prefill(kind):
    model = LanguageModel(kind, rows=1)
    x = torch.randn(1, PROMPT_COLUMNS, LANGUAGE.width).to(kind)
    return lambda: F.linear(model.forward(x, 0)[:, -1], model.head)


def whisper(size, kind):
    from whisper.model import AudioEncoder

    shape = WHISPER[size]
    encoder = AudioEncoder(shape.bands, shape.audio_context, shape.width, shape.heads, shape.layers).eval().to(kind)
    for part in encoder.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.float()  # Whisper's norms compute in fp32, whatever goes through them
    mel = torch.randn(1, shape.bands, 2 * shape.audio_context).to(kind)
    return lambda: encoder(mel)


def clip(kind):
    """The vision tower of ViT-B/32, which returns every token's feature."""
    width, heads, patch = CLIP["width"], CLIP["heads"], CLIP["patch"]
    tokens = (CLIP["resolution"] // patch) ** 2 + 1
    norm = (vector(width, kind), torch.zeros(width, dtype=kind))

    def linear(outputs, inputs):
        return matrix(outputs, inputs, kind), torch.zeros(outputs, dtype=kind)

    layers = [
        (linear(3 * width, width), linear(width, width), linear(4 * width, width), linear(width, 4 * width))
        for _ in range(CLIP["layers"])
    ]
    patches = matrix(width, 3 * patch * patch, kind).view(width, 3, patch, patch)
    first, positions = torch.randn(1, 1, width).to(kind), torch.randn(tokens, width).to(kind)
    projection = matrix(CLIP["features"], width, kind)
    picture = torch.randn(1, 3, CLIP["resolution"], CLIP["resolution"]).to(kind)

    def run():
        x = F.conv2d(picture, patches, stride=patch).flatten(2).transpose(1, 2)
        x = F.layer_norm(torch.cat((first, x), dim=1) + positions, (width,), *norm)
        for attention, out, inner, outer in layers:
            joined = F.linear(F.layer_norm(x, (width,), *norm), *attention)
            query, key, value = joined.view(1, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(query, key, value)
            x = x + F.linear(mixed.transpose(1, 2).reshape(1, tokens, width), *out)
            y = F.linear(F.layer_norm(x, (width,), *norm), *inner)
            x = x + F.linear(y * torch.sigmoid(1.702 * y), *outer)
        return F.linear(F.layer_norm(x, (width,), *norm), projection)

    return run


def snac(kind, frames=12):
    """A clip of about a second as a whole, which is the cheapest way: the release decodes four frames at a time."""
    from snac import SNAC as Codec

    codec = Codec(**SNAC).eval().to(kind)
    codes = [torch.randint(0, SNAC["codebook_size"], (1, frames * count)) for count in SNAC_CODES]
    return lambda: codec.decode(codes)


def stage(name, kind):
    kind = KINDS[kind]
    made = {
        "language-step": lambda: language_step(kind),
        "language-prefill": lambda: language_prefill(kind),
        "whisper-small": lambda: whisper("small", kind),
        "whisper-tiny": lambda: whisper("tiny", kind),
        "clip": lambda: clip(kind),
        "snac": lambda: snac(kind),
    }[name]()

    def run():
        with torch.inference_mode():
            made()

    return run

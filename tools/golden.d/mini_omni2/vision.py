"""CLIP's vision transformer as Mini-Omni2 uses it, and what stands before it: names and shapes are those of `ViT-B-32.pt`."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

HEAD = 64  # CLIP's head width: the number of heads is not in the file
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def resized(image, size=224):
    """Short side to `size` by PIL's bicubic, then the middle square, then RGB: uint8 [size, size, 3].

    The order is CLIP's: a picture with transparency is resized (premultiplied) before its alpha is dropped, a grey one as one
    channel, and one with a palette by nearest neighbour, whatever is asked for.
    """
    width, height = image.size
    short, long = sorted((width, height))
    longer = size * long // short
    image = image.resize((size, longer) if width <= height else (longer, size), Image.Resampling.BICUBIC)
    # A half is rounded to the even neighbour, as Python's round does.
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)).convert("RGB"))


def normalized(pixels):
    """uint8 [height, width, 3] to fp32 [1, 3, height, width]."""
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return ((values - mean) / deviation)[None]


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        count, width = x.shape[1:]
        qkv = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(-1, count, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4).unbind(0)
        y = (q @ k.transpose(-1, -2) * HEAD**-0.5).softmax(-1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(-1, count, width))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = Attention(width)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width) for _ in range(layers)))

    def forward(self, x):
        return self.resblocks(x)


class Vision(nn.Module):
    def __init__(self, resolution, patch, width, layers, out):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((resolution // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, out))

    def forward(self, image):
        patches = self.conv1(image).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        x = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        # Every token is projected, where CLIP itself keeps the class token alone. No norm follows.
        return self.ln_post(self.transformer(x)) @ self.proj


class Clip(nn.Module):
    """The whole of CLIP for its tensors' names; only the vision half is ever run."""

    def __init__(self, resolution, patch, width, layers, out, text_width, context, vocabulary):
        super().__init__()
        self.visual = Vision(resolution, patch, width, layers, out)
        self.transformer = Transformer(text_width, 1)
        self.token_embedding = nn.Embedding(vocabulary, text_width)
        self.positional_embedding = nn.Parameter(torch.empty(context, text_width))
        self.ln_final = nn.LayerNorm(text_width)
        self.text_projection = nn.Parameter(torch.empty(text_width, out))
        self.logit_scale = nn.Parameter(torch.empty([]))
        for name, value in (("input_resolution", resolution), ("context_length", context), ("vocab_size", vocabulary)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image):
        return self.visual(image)

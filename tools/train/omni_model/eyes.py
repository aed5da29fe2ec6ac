"""The eyes: a small CLIP (Radford et al. 2021) of the project's own, pretrained on pictures and captions, then frozen.

Besides the class token, which is contrasted with whole captions, every patch is contrasted with the words for what is there
(as in RegionCLIP, Zhong et al. 2022): Mini-Omni2 reads all the tokens, not the class token alone.
"""

import torch
from mini_omni2.vision import DEVIATION, MEAN, Clip
from torch import nn
from torch.nn import functional

from .domain.scenes import COLORS, SHAPES
from .drawing import draw
from .training import autocast

PATCH, GRID = 32, 7
NOTHING = "nothing"
PARTS = ["middle", "edge", NOTHING]


def make(settings, vocabulary, seed):
    """A Clip with random weights."""
    torch.manual_seed(seed)
    clip = Clip(
        resolution=224, patch=PATCH, width=settings["width"], layers=settings["layers"], out=settings["out"],
        text_width=settings["text_width"], context=settings["context"], vocabulary=vocabulary,
    )  # fmt: skip
    for name, value in clip.named_parameters():
        if name.endswith("in_proj_weight"):
            nn.init.normal_(value, std=value.shape[1] ** -0.5)
        elif name.endswith("in_proj_bias"):
            nn.init.zeros_(value)
        elif name.endswith(("class_embedding", "positional_embedding", "token_embedding.weight")):
            nn.init.normal_(value, std=0.05)
        elif name.endswith("visual.proj") or name == "text_projection":
            nn.init.normal_(value, std=value.shape[0] ** -0.5)
    nn.init.constant_(clip.logit_scale, 2.6)
    return clip


def normalized(pictures):
    mean, deviation = (torch.tensor(v, device=pictures.device).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return (pictures - mean) / deviation


def read(clip, tokens):
    """Texts [batch, count], the first token of each a mark: one feature [batch, out] each. All tokens see each other."""
    x = clip.token_embedding(tokens) + clip.positional_embedding[: tokens.shape[1]]
    return clip.ln_final(clip.transformer(x)[:, 0]) @ clip.text_projection


def targets(things):
    """What each patch shows [batch, 3, 49]: numbers in COLORS, SHAPES and PARTS, the last of each for nothing; -1 where an
    edge only touches the patch."""
    batch, device = len(things), things.device
    place = (torch.arange(GRID, device=device) + 0.5) * PATCH
    y, x = (axis.flatten() for axis in torch.meshgrid(place, place, indexing="ij"))
    there = things[..., 0] >= 0
    dx, dy = x - things[..., 2, None], y - things[..., 3, None]
    far = torch.hypot(dx, dy).masked_fill(~there[..., None], 1e4)
    near, which = far.min(1)
    radius = things[..., 4].gather(1, which)
    on, off = near < 0.7 * radius + 4, near > radius + 0.75 * PATCH
    middle = ((dx.abs() <= PATCH / 2) & (dy.abs() <= PATCH / 2) & there[..., None]).any(1)
    found = []
    for column, words in ((0, COLORS), (1, SHAPES)):
        word = things[..., column].long().gather(1, which)
        found.append(torch.where(on | middle, word, torch.where(off, len(words), -1)))
    found.append(torch.where(middle, 0, torch.where(on, 1, torch.where(off, 2, -1))))
    return torch.stack(found, 1).view(batch, 3, -1)


class Contrast:
    """The loss. captions [pictures, count] and words, lists of the three kinds, are tokens that begin with a mark."""

    def __init__(self, clip, scenes, words, batch, device):
        self.clip, self.scenes, self.words, self.batch, self.device = clip, scenes, words, batch, device

    def __call__(self, generator):
        count = len(self.scenes["things"])
        chosen = torch.randint(count, (self.batch,), generator=generator, device=self.device)
        things, captions = self.scenes["things"][chosen], self.scenes["captions"][chosen]
        with torch.no_grad():
            pictures = normalized(draw(things, self.scenes["grounds"][chosen]))
            seen = targets(things)
        with autocast(self.device):
            tokens = self.clip(pictures)
            texts = read(self.clip, captions)
            words = [read(self.clip, kind) for kind in self.words]
        tokens, texts = functional.normalize(tokens.float(), dim=-1), functional.normalize(texts.float(), dim=-1)
        scale = self.clip.logit_scale.clamp(max=4.6).exp()
        whole = scale * tokens[:, 0] @ texts.T
        # Pictures with the same caption are no worse a match.
        same = (captions[:, None] == captions[None]).all(-1).float()
        same = same / same.sum(1, keepdim=True)
        loss = (functional.cross_entropy(whole, same) + functional.cross_entropy(whole.T, same)) / 2
        parts = {"captions": loss}
        for kind, name in enumerate(("colors", "shapes", "parts")):
            logits = scale * tokens[:, 1:] @ functional.normalize(words[kind].float(), dim=-1).T
            parts[name] = functional.cross_entropy(logits.flatten(0, 1), seen[:, kind].flatten(), ignore_index=-1)
            loss = loss + parts[name]
        return loss, parts


@torch.no_grad()
def looks(clip, scenes, device, batch=256):
    """What the eyes see of every picture: fp16 [pictures, 50, out]."""
    clip.eval()
    found = []
    for first in range(0, len(scenes["things"]), batch):
        part = slice(first, first + batch)
        pictures = normalized(draw(scenes["things"][part].to(device), scenes["grounds"][part].to(device)))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            found.append(clip(pictures).half())
    return torch.cat(found)


@torch.no_grad()
def measured(clip, scenes, words, device, batch=256):
    """Of patches: how often the nearest word is the right one."""
    right, total = torch.zeros(3), torch.zeros(3)
    features = [functional.normalize(read(clip, kind), dim=-1) for kind in words]
    for first in range(0, len(scenes["things"]), batch):
        part = slice(first, first + batch)
        things = scenes["things"][part].to(device)
        tokens = clip(normalized(draw(things, scenes["grounds"][part].to(device))))[:, 1:]
        seen = targets(things)
        for kind, feature in enumerate(features):
            known = seen[:, kind] >= 0
            right[kind] += ((tokens @ feature.T).argmax(-1) == seen[:, kind])[known].sum().cpu()
            total[kind] += known.sum().cpu()
    shares = (right / total).tolist()
    return {f"patches, {name} right": share for name, share in zip(("colors", "shapes", "parts"), shares)}

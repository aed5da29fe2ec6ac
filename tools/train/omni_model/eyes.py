"""The eyes: a small CLIP (Radford et al. 2021) of the project's own, pretrained on pictures and captions, then frozen.

Besides the class token, which is contrasted with whole captions, every patch is contrasted with the words for what is there
(as in RegionCLIP, Zhong et al. 2022): Mini-Omni2 reads all the tokens, not the class token alone.
"""

import torch
from mini_omni2.vision import DEVIATION, MEAN, Clip
from torch import nn
from torch.nn import functional

from .domain.scenes import COLORS, HELD_OUT, PLACES, SHAPES
from .drawing import RGB, draw
from .training import autocast

PATCH, GRID = 32, 7
NOTHING = "nothing"
PARTS = ["middle", "edge", NOTHING]
# What is said of every patch. Their places are in what the eyes see of them hardly at all, unless they are told, too.
WORDS = {"colors": [*COLORS, NOTHING], "shapes": [*SHAPES, NOTHING], "parts": PARTS, "places": PLACES}
# Of each batch, a part whose things have any color whatever, of which nothing is said: else shapes are known by their colors,
# and not in one that they never had.
PAINTED = 0.4
NEAR = 0.4  # of RGB, how far a thing is kept from the color that training shall not see on its shape
# What is learned last counts more.
WEIGHTS = {"captions": 1, "colors": 1, "shapes": 3, "parts": 1, "places": 1}


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
    """What each patch shows [batch, 4, 49]: numbers in WORDS, -1 where an edge only touches the patch."""
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
    side = GRID * PATCH / 3
    found.append((y.div(side).long() * 3 + x.div(side).long()).expand(batch, -1))
    return torch.stack(found, 1)


def patches(things):
    """Of pictures' things [pictures, most, ...] the patches that their middles are in [pictures, most]."""
    column, row = (things[..., axis].div(PATCH).long().clamp(0, GRID - 1) for axis in (2, 3))
    return row * GRID + column


def painted(things, generator):
    """The same things, each in a color drawn from all there are but those near to one of HELD_OUT."""
    device = things.device
    colors = torch.tensor(list(RGB.values()), device=device)
    hidden = torch.zeros(len(SHAPES), 3, device=device)
    for color, shape in HELD_OUT:
        hidden[SHAPES.index(shape)] = colors[COLORS.index(color)]
    own, shapes = (things[..., column].long().clamp_min(0) for column in (0, 1))
    drawn = torch.rand(*shapes.shape, 3, generator=generator, device=device)
    near = (drawn - hidden[shapes]).norm(dim=-1, keepdim=True) < NEAR
    # Half of the way round in red, green and blue is 0.87 away.
    things = things.clone()
    things[..., 6:9] = torch.where(near, (drawn + 0.5) % 1, drawn) - colors[own]
    return things


class Contrast:
    """The loss. captions [pictures, count] and words, of each kind of WORDS, are tokens that begin with a mark."""

    def __init__(self, clip, scenes, words, batch, device):
        self.clip, self.scenes, self.words, self.batch, self.device = clip, scenes, words, batch, device

    def __call__(self, generator):
        count, paints = len(self.scenes["things"]), int(PAINTED * self.batch)
        chosen = torch.randint(count, (self.batch,), generator=generator, device=self.device)
        things, captions = self.scenes["things"][chosen], self.scenes["captions"][chosen[paints:]]
        with torch.no_grad():
            seen = targets(things)
            seen[:paints, 0] = -1
            things = torch.cat([painted(things[:paints], generator), things[paints:]])
            pictures = normalized(draw(things, self.scenes["grounds"][chosen]))
        with autocast(self.device):
            tokens = self.clip(pictures)
            texts = read(self.clip, captions)
            words = [read(self.clip, kind) for kind in self.words]
        tokens, texts = functional.normalize(tokens.float(), dim=-1), functional.normalize(texts.float(), dim=-1)
        scale = self.clip.logit_scale.clamp(max=4.6).exp()
        whole = scale * tokens[paints:, 0] @ texts.T
        # Pictures with the same caption are no worse a match.
        same = (captions[:, None] == captions[None]).all(-1).float()
        same = same / same.sum(1, keepdim=True)
        parts = {"captions": (functional.cross_entropy(whole, same) + functional.cross_entropy(whole.T, same)) / 2}
        for kind, name in enumerate(WORDS):
            logits = scale * tokens[:, 1:] @ functional.normalize(words[kind].float(), dim=-1).T
            parts[name] = functional.cross_entropy(logits.flatten(0, 1), seen[:, kind].flatten(), ignore_index=-1)
        return sum(WEIGHTS[name] * part for name, part in parts.items()), parts


@torch.no_grad()
def looks(clip, scenes, device, batch=256):
    """What the eyes see of every picture: fp16 [pictures, 50, out]."""
    clip.eval()
    found = []
    for first in range(0, len(scenes["things"]), batch):
        part = slice(first, first + batch)
        pictures = normalized(draw(scenes["things"][part].to(device), scenes["grounds"][part].to(device)))
        with autocast(device):
            found.append(clip(pictures).half())
    return torch.cat(found)


@torch.no_grad()
def measured(clip, scenes, words, device, batch=256):
    """Of patches, how often the nearest word is the right one: of all, and shapes of things alone, of those pairs of color and
    shape that training has and of those that it never has."""
    found = {}
    features = [functional.normalize(read(clip, kind), dim=-1) for kind in words]
    hidden = torch.zeros(len(COLORS) + 1, len(SHAPES) + 1, dtype=torch.bool, device=device)
    for color, shape in HELD_OUT:
        hidden[COLORS.index(color), SHAPES.index(shape)] = True
    for first in range(0, len(scenes["things"]), batch):
        part = slice(first, first + batch)
        things = scenes["things"][part].to(device)
        tokens = clip(normalized(draw(things, scenes["grounds"][part].to(device))))[:, 1:]
        seen = targets(things)
        right = [(tokens @ feature.T).argmax(-1) == seen[:, kind] for kind, feature in enumerate(features)]
        for kind, name in enumerate(WORDS):
            found.setdefault(name, []).append(right[kind][seen[:, kind] >= 0])
        thing = (seen[:, 1] >= 0) & (seen[:, 1] < len(SHAPES))
        strange = hidden[seen[:, 0], seen[:, 1]]
        for name, those in (("shapes of known pairs", thing & ~strange), ("shapes of unseen pairs", thing & strange)):
            found.setdefault(name, []).append(right[1][those])
    shares = {name: torch.cat(each).float().mean().item() for name, each in found.items() if sum(map(len, each))}
    return {f"patches, {name} right": share for name, share in shares.items()}

"""Pictures of colored shapes, and what is in them.

A picture has nine places, three rows of three, and one to six shapes. What is drawn where is an array; how it looks is
drawing.py's.
"""

import random
from dataclasses import dataclass

import numpy as np

from .words import some

COLORS = ["red", "green", "blue", "yellow", "orange", "purple", "black", "pink"]
SHAPES = ["circle", "square", "triangle", "star", "heart", "cross"]
# Pairs that no picture and no question of training holds.
HELD_OUT = [("purple", "star"), ("green", "heart"), ("orange", "cross"), ("blue", "triangle"), ("pink", "square"),
            ("black", "circle")]  # fmt: skip
PLACES = ["at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
          "at the bottom left", "at the bottom", "at the bottom right"]  # fmt: skip
MOST = 6
ALL = [(color, shape) for color in COLORS for shape in SHAPES]
KNOWN = [pair for pair in ALL if pair not in HELD_OUT]


@dataclass(frozen=True)
class Thing:
    color: str
    shape: str
    place: int

    @property
    def name(self):
        return f"{self.color} {self.shape}"


def scene(rng: random.Random, unseen=False):
    """Things by place. `unseen`: with at least one pair that training does not have."""
    known = HELD_OUT + KNOWN if unseen else KNOWN
    first = rng.choice(HELD_OUT if unseen else KNOWN)
    if rng.random() < 0.5:
        # A few of a kind, perhaps beside a few of another that shares a color or a shape.
        kinds = [first] * rng.randint(1, 4)
        if rng.random() < 0.7:
            kinds += [_other(rng, known, first)] * rng.randint(1, MOST - len(kinds))
        if len(kinds) < MOST and rng.random() < 0.3:
            kinds.append(rng.choice(known))
    else:
        kinds = [first]
        for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4])):
            kinds.append(_other(rng, known, rng.choice(kinds)))
    places = rng.sample(range(9), len(kinds))
    if len(kinds) <= 3 and rng.random() < 0.4:
        # In one row or column, so that there is something left and right, above and below.
        line = rng.randrange(3)
        line = [3 * line, 3 * line + 1, 3 * line + 2] if rng.random() < 0.5 else [line, line + 3, line + 6]
        places = rng.sample(line, len(kinds))
    return sorted((Thing(*kind, place) for kind, place in zip(kinds, places)), key=lambda thing: thing.place)


def _other(rng, known, kind):
    share = rng.random()
    if share < 0.6:
        near = [pair for pair in known if pair != kind and (pair[0] == kind[0]) != (pair[1] == kind[1])]
        return rng.choice(near)
    return rng.choice(known)


def groups(things):
    """[(count, name)] in order of the first of each."""
    counts = {}
    for thing in things:
        counts[thing.name] = counts.get(thing.name, 0) + 1
    return [(count, name) for name, count in counts.items()]


def caption(things):
    """What is seen: up to three things with their places, more of them counted."""
    if len(things) <= 3:
        parts = [f"{some(1, thing.name)} {PLACES[thing.place]}" for thing in things]
    else:
        parts = [some(count, name) for count, name in groups(things)]
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return text[0].upper() + text[1:] + "."


def written(things):
    """Everything there is to see, for a model that only reads."""
    return "; ".join(f"{thing.name} {PLACES[thing.place]}" for thing in things) + "."


def packed(scenes, rng: np.random.Generator):
    """Scenes as arrays: things [scenes, 6, 9] float32 of color (-1 for none), shape, x, y, radius in pixels of a picture of
    224, turn in radians, and how far red, green and blue are from the color's own; grounds [scenes, 4] of red, green, blue
    and the height from which it is darker."""
    count = len(scenes)
    things = np.full((count, MOST, 9), -1, np.float32)
    for row, found in enumerate(scenes):
        for column, thing in enumerate(found):
            third, rest = divmod(thing.place, 3)
            things[row, column, :4] = (COLORS.index(thing.color), SHAPES.index(thing.shape), rest * 75 + 37, third * 75 + 37)
    things[..., 2:4] += rng.uniform(-7, 7, (count, MOST, 2))
    # Few things may be larger.
    most = np.array([[34.0 if len(found) <= 3 else 29.0] for found in scenes])
    things[..., 4] = rng.uniform(18, most, (count, MOST))
    things[..., 5] = rng.normal(0, 0.12, (count, MOST))
    things[..., 6:9] = rng.normal(0, 0.03, (count, MOST, 3))
    grounds = np.concatenate([rng.uniform(0.8, 1, (count, 1)) - rng.uniform(0, 0.06, (count, 3)), np.full((count, 1), 224)], 1)
    low = rng.random(count) < 0.3
    grounds[low, 3] = rng.uniform(110, 210, low.sum())
    return things, grounds.astype(np.float32)

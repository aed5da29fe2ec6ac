"""A picture of the domain by its description:

    tools/train/omni picture "two red circles and a blue star" -o p.png
    tools/train/omni picture "a red circle on the left, a green star in the middle" -o p.png
"""

import argparse
import random
import re
import sys
from pathlib import Path

import numpy as np

from .domain.scenes import COLORS, MOST, PLACES, SHAPES, Thing, packed
from .domain.words import number, plural

COUNTS = {"a": 1, "an": 1, **{number(count): count for count in range(1, MOST + 1)}}
NOUNS = {form: shape for shape in SHAPES for form in (shape, plural(shape))}
EXAMPLE = '"two red circles and a blue star", or with places, "a red circle on the left and a pink heart at the top"'


class CannotDraw(Exception):
    """What of a description cannot be drawn, and what could."""


def described(text, rng):
    """The things that a text tells of; those without a place are put somewhere."""
    wanted = []
    for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", text.strip().lower().removesuffix(".")):
        count, color, noun, place = _part(part)
        if place is not None and count > 1:
            raise CannotDraw(f"'{part}': a place holds one shape; name each shape with its own")
        wanted += [(color, NOUNS[noun], place)] * count
    if len(wanted) > MOST:
        raise CannotDraw(f"a picture holds up to {MOST} shapes, and these are {len(wanted)}")
    taken = [place for _, _, place in wanted if place is not None]
    twice = [PLACES[place] for place in taken if taken.count(place) > 1]
    if twice:
        raise CannotDraw(f"two shapes cannot be {twice[0]}")
    free = rng.sample([place for place in range(9) if place not in taken], len(wanted) - len(taken))
    things = (Thing(color, shape, free.pop() if place is None else place) for color, shape, place in wanted)
    return sorted(things, key=lambda thing: thing.place)


def _part(part):
    words = part.split()
    if len(words) < 3:
        raise CannotDraw(f"'{part}': expected how many, a color and a shape, as in {EXAMPLE}")
    for word, known, what in zip(words, (COUNTS, COLORS, NOUNS), ("how many", "a color", "a shape")):
        if word not in known:
            raise CannotDraw(f"'{part}': '{word}' is not {what}; there are {', '.join(known)}")
    count, color, noun, place = COUNTS[words[0]], words[1], words[2], " ".join(words[3:])
    if (count == 1) != (noun in SHAPES):
        right = NOUNS[noun] if count == 1 else plural(NOUNS[noun])
        raise CannotDraw(f"'{part}': expected '{right}' behind '{words[0]}', found '{noun}'")
    if place and place not in PLACES:
        raise CannotDraw(f"'{part}': '{place}' is not a place; there are {', '.join(PLACES)}")
    return count, color, noun, PLACES.index(place) if place else None


def main(arguments):
    parser = argparse.ArgumentParser(prog="tools/train/omni picture", description="Draws a picture of the domain.")
    parser.add_argument("description", help=f"for example {EXAMPLE}")
    parser.add_argument("-o", "--out", type=Path, default=Path("picture.png"), help="the PNG file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of places, sizes and shades (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        things = described(options.description, random.Random(options.seed))
    except CannotDraw as problem:
        print(f"tools/train/omni picture: {problem}", file=sys.stderr)
        return 1
    # PyTorch takes a while to start: only for what can be drawn.
    import torch

    from . import drawing

    arrays = packed([things], np.random.default_rng(options.seed))
    picture = drawing.draw(*(torch.from_numpy(array) for array in arrays))[0]
    try:
        options.out.write_bytes(drawing.png(picture))
    except OSError as problem:
        print(f"tools/train/omni picture: {options.out}: {problem.strerror}; name another with -o", file=sys.stderr)
        return 1
    print(f"{options.out}: " + "; ".join(f"{thing.name} {PLACES[thing.place]}" for thing in things))
    return 0

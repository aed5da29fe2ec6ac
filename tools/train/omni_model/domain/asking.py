"""Questions about pictures. An intent is what is asked, whatever the words and the picture; its answer takes both."""

from .phrasing import Intent
from .scenes import ALL, COLORS, HELD_OUT, PLACES, SHAPES, groups
from .words import number, plural, sentence, some, split

# For each kind: ways to ask that training has, and ways that it has not; clauses and orders that other ways are made of.
WAYS = {
    "count": (
        "How many {}s are there?|How many {}s do you see?|How many {}s can you see?|Count the {}s.|"
        "How many {}s are in the picture?|What is the number of {}s?|Tell me how many {}s there are.|Please count the {}s.",
        "How many {}s does the picture show?|Can you count the {}s?",
        "how many {}s there are|how many {}s you see|how many {}s are in the picture|how many {}s you can see|"
        "how many {}s there are here",
        "count the {}s|count all the {}s|tell me the number of {}s",
    ),
    "color": (
        "What color is the {}?|Which color is the {}?|What color does the {} have?|Tell me the color of the {}.|"
        "Which color does the {} have?",
        "What is the color of the {}?|Do you see what color the {} is?",
        "what color the {} is|which color the {} is|what color the {} has|which color the {} has",
        "tell me the color of the {}|name the color of the {}",
    ),
    "shape": (
        "What is {}?|Which shape is {}?|What shape is the {} one?|What is the {} thing?|Tell me which shape is {}.",
        "Which shape is the {} one?|What do you see that is {}?",
        "what is {}|which shape is {}|what the {} thing is|which thing is {}|what the {} one is",
        "name the {} thing|find what is {}",
    ),
    "exists": (
        "Is there {a}?|Do you see {a}?|Can you see {a}?|Is there {a} in the picture?|Does the picture have {a}?|"
        "Can you find {a}?",
        "Is {a} in the picture?|Do you find {a}?",
        "whether there is {a}|if there is {a}|whether you see {a}|if you can see {a}|whether the picture has {a}",
        "look for {a}|tell me if there is {a}",
    ),
    "relation": (
        "What is {}?|What do you see {}?|Which shape is {}?|What stands {}?|Tell me what is {}.|What can you see {}?",
        "What is there {}?|What is it that stands {}?",
        "what is {}|what you see {}|what stands {}|which shape is {}|what you can see {}|what there is {}",
        "name what is {}|look what is {}|find out what is {}",
    ),
    "place": (
        "Where is the {}?|Where do you see the {}?|Where can you see the {}?|Tell me where the {} is.|"
        "In which place is the {}?",
        "Where in the picture is the {}?|Can you tell me where the {} is?",
        "where the {} is|where you see the {}|where I can see the {}|in which place the {} is|where I find the {}",
        "find the {}|look where the {} is",
    ),
    "describe": (
        "What do you see?|Describe the picture.|What is in the picture?|What can you see?|Tell me what you see.|"
        "What does the picture show?|Please describe the picture.",
        "What is there to see?|Can you describe the picture?",
        "what you see|what is in the picture|what you can see|what the picture shows|what I am showing you",
        "describe the picture|describe what you see|say what you see|look at the picture and describe it",
    ),
}
SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
WORDS_OF_SIDES = {"left of": "left of the {}", "right of": "right of the {}", "above": "above the {}", "below": "below the {}"}


def intents():
    """Every intent: a kind and what it is about."""
    for name in ["shape", *SHAPES, *(f"{color} shape" for color in COLORS), *(f"{color} {shape}" for color, shape in ALL)]:
        yield "count", name
        if name != "shape":
            yield "exists", name
    names = [*SHAPES, *(f"{color} {shape}" for color, shape in ALL)]
    yield from (("color", shape) for shape in SHAPES)
    yield from (("shape", color) for color in COLORS)
    yield from (("place", name) for name in names)
    yield from (("relation", f"{side}|{name}") for side in SIDES for name in names)
    yield "describe", ""


def is_held_out(text):
    """Whether it speaks of something whose color and shape training never sees together."""
    return any(f"{color} {shape}" in text or f"{shape} is {color}" in text for color, shape in HELD_OUT)


def asked(kind, about):
    """The intent."""
    words = about
    if kind == "relation":
        side, name = about.split("|")
        words = WORDS_OF_SIDES[side].format(name)
    return Intent(kind, about, None, *(tuple(_filled(way, words) for way in split(ways)) for ways in WAYS[kind]))


def _filled(way, about):
    if "{}s" in way:
        before, _, noun = about.rpartition(" ")
        return way.replace("{}s", f"{before} {plural(noun)}".strip())
    return way.replace("{a}", some(1, about) if about else "").replace("{}", about)


def matches(thing, name):
    return all(word in (thing.color, thing.shape, "shape") for word in name.split())


def answer(things, kind, about):
    """None where the question does not suit the picture, or has more than one answer."""
    return ANSWERS[kind](things, about)


def looked_at(things, kind, about):
    """The things that a question names, and those that its answer does; of a question that suits the picture."""
    if kind == "relation":
        side, name = about.split("|")
        anchor = _the(things, name)
        _, beside = _beside(things, side, anchor)
        return [anchor], [beside] if beside else []
    named = [thing for thing in things if kind == "describe" or matches(thing, about)]
    return named, named


def _count(things, name):
    count = sum(matches(thing, name) for thing in things)
    if count == 1:
        return sentence(f"there is one {name}")
    before, _, noun = name.rpartition(" ")
    return sentence(f"there are {number(count) if count else 'no'} {before + ' ' if before else ''}{plural(noun)}")


def _exists(things, name):
    count = sum(matches(thing, name) for thing in things)
    if count == 0:
        return f"No, there is no {name}."
    return f"Yes, there {'is' if count == 1 else 'are'} {some(count, name)}."


def _the(things, name):
    """The only thing of this name."""
    found = [thing for thing in things if matches(thing, name)]
    return found[0] if len(found) == 1 else None


def _color(things, shape):
    thing = _the(things, shape)
    return thing and sentence(f"the {shape} is {thing.color}")


def _shape(things, color):
    thing = _the(things, color)
    return thing and sentence(f"the {thing.shape} is {color}")


def _place(things, name):
    thing = _the(things, name)
    return thing and sentence(f"it is {PLACES[thing.place]}")


def _relation(things, about):
    """What is next in this direction, in the same row or column; nothing, where all stand elsewhere."""
    side, name = about.split("|")
    anchor = _the(things, name)
    if anchor is None:
        return None
    aside, beside = _beside(things, side, anchor)
    if beside is None:
        return None if aside else f"Nothing is {side} it."
    return sentence(some(1, beside.name))


def _beside(things, side, anchor):
    """Whether there is anything on this side of a thing, and what is next in its row or column, if there is."""
    down, right = SIDES[side]
    row, column = divmod(anchor.place, 3)
    aside, straight = False, []
    for thing in things:
        rows, columns = thing.place // 3 - row, thing.place % 3 - column
        ahead = rows * down + columns * right
        if ahead > 0 and (rows == 0 or columns == 0):
            straight.append((ahead, thing))
        aside = aside or ahead > 0
    return aside, min(straight, key=lambda found: found[0])[1] if straight else None


def _describe(things, _):
    if len(things) == 2 and things[0].name != things[1].name:
        return sentence(f"{some(1, things[0].name)} and {some(1, things[1].name)}")
    found = groups(things)
    return sentence(f"I see {some(*found[0])}" if len(found) == 1 else f"I see {number(len(things))} shapes")


ANSWERS = {
    "count": _count, "exists": _exists, "color": _color, "shape": _shape, "place": _place, "relation": _relation,
    "describe": _describe,
}  # fmt: skip


def candidates(rng, things):
    """A few intents worth asking of this picture."""
    thing, other = rng.choice(things), rng.choice(ALL)
    near = rng.choice([f"{thing.color} {other[1]}", f"{other[0]} {thing.shape}", " ".join(other)])
    yield "count", rng.choice(["shape", thing.shape, f"{thing.color} shape", thing.name, thing.name, near])
    yield "exists", rng.choice([thing.name, thing.shape, f"{thing.color} shape", near, near, other[1], f"{other[0]} shape"])
    yield from (("color", thing.shape), ("shape", thing.color), ("place", rng.choice([thing.shape, thing.name])))
    # Few of these suit a picture, and they are learned last.
    for side in SIDES:
        for anchor in rng.sample(things, min(2, len(things))):
            yield "relation", f"{side}|{rng.choice([anchor.shape, anchor.name, anchor.name])}"
    if rng.random() < 0.3:
        yield "describe", ""

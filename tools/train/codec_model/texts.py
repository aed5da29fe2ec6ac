"""What the voice says: answers as an assistant gives them, and talk of all kinds."""

import re

from common.words import number
from synthesis import talk

WORDS = {
    "colour": "red|green|blue|yellow|orange|purple|black|white|pink|brown|grey|cyan",
    "shape": "circle|square|triangle|star|diamond|cross|ring|heart|hexagon|rectangle|arrow|oval",
    "place": "left of|right of|above|below|next to|under|over|between|behind",
    "corner": "at the top|at the bottom|on the left|on the right|in the middle|in the corner|in the centre",
    "greeting": "Hello|Good morning|Good evening|Hi there|You are welcome|Goodbye|Thank you|Of course|Yes|No|Sure",
    "city": "Paris|London|Berlin|Madrid|Rome|Tokyo|Cairo|Vienna|Athens|Oslo|Moscow|Lisbon|Dublin|Warsaw|Beijing",
    "country": "France|England|Germany|Spain|Italy|Japan|Egypt|Austria|Greece|Norway|Russia|Portugal|Ireland|Poland",
    "thing": "water|the sun|the moon|a week|a year|the earth|gold|ice|a spider|a triangle|the ocean|a whale|salt",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "month": "January|February|March|April|May|June|July|August|September|October|November|December",
    "adjective": "big|small|hot|cold|round|heavy|fast|slow|old|young|far|near|bright|dark|soft|hard|sweet|quiet",
    "part": "in the morning|in the afternoon|in the evening|at night",
}
TEMPLATES = [
    "There is one {colour} {shape}.", "There are {few} {colour} {shape}s.", "I see {few} {shape}s.", "{Few}.",
    "The {shape} is {colour}.", "It is {colour}.", "A {colour} {shape}.", "The {colour} {shape} is {corner}.",
    "It is {place} the {colour} {shape}.", "The {colour} {shape} is {place} the {shape}.", "No, there is no {shape}.",
    "Yes, there is a {colour} {shape}.", "No, it is {colour}.", "I see a {colour} {shape} and a {colour} {shape}.",
    "There are no {colour} {shape}s.", "Yes, {few} of them.", "{Few} {shape}s, and they are {colour}.",
    "{Number} plus {number} is {number}.", "{Number} minus {number} is {number}.", "{Number} times {few} is {number}.",
    "That makes {number}.", "The answer is {number}.", "{Number} divided by {few} is {number}.", "{Number}.",
    "It is {hour} o'clock.", "It is half past {hour}.", "It is a quarter to {hour}.", "It is a quarter past {hour}.",
    "It is {minute} past {hour}.", "It is {minute} to {hour} {part}.", "{Minute} to {hour}.", "At {hour} {part}.",
    "I am an assistant.", "My name is Antiphon.", "I can see pictures and hear you.", "I can count and tell the time.",
    "I am sorry, I do not know that.", "I cannot help you with that.", "I did not understand you.", "Please ask again.",
    "{greeting}.", "{greeting}, how can I help?", "{city} is the capital of {country}.", "The capital is {city}.",
    "It is {adjective}.", "{Thing} is {adjective}.", "The opposite of {adjective} is {adjective}.",
    "{day} comes after {day}.", "It is {month}.", "{month} has {number} days.", "{Thing} has {few} legs.",
]  # fmt: skip


def answer(rng):
    """One of a narrow domain; rng: random.Random."""

    def word(found):
        name = found[1]
        kind = name.lower()
        if kind in WORDS:
            drawn = rng.choice(WORDS[kind].split("|"))
        else:
            most = {"few": (2, 9), "hour": (1, 12), "minute": (1, 29), "number": (0, 120)}[kind]
            drawn = number(rng.randint(*most))
        return drawn if name == kind else drawn[0].upper() + drawn[1:]

    return re.sub(r"\{(\w+)\}", word, rng.choice(TEMPLATES))


def counted(rng):
    """Numbers, letters or words one after the other, as no sentence has them."""
    kind = rng.randrange(4)
    if kind == 0:
        words = [number(rng.randrange(1000)) for _ in range(rng.randint(1, 4))]
    elif kind == 1:
        words = rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(2, 5))
    else:
        words = [rng.choice(rng.choice(list(WORDS.values())).split("|")) for _ in range(rng.randint(1, 6))]
    text = ", ".join(words) + "."
    return text[0].upper() + text[1:]


def drawn(rng, given=(), held_out=False):
    """A text. given: such as are known to be needed, if any; they take half of the answers' place and more."""
    share = rng.random()
    if share < 0.5:
        return rng.choice(given) if given and share < 0.4 else answer(rng)
    return counted(rng) if share < 0.6 else talk.talk(rng, held_out)

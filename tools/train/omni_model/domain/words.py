"""Times and plurals as they are spoken."""

from common.words import number

QUARTERS = ["{} o'clock", "quarter past {}", "half past {}", "quarter to {}"]


def time(quarters):
    """The time so many quarters of an hour after twelve."""
    hour, quarter = divmod(quarters % 48, 4)
    named = hour + (quarter == 3)
    return QUARTERS[quarter].format(number((named - 1) % 12 + 1))


def plural(noun):
    return "crosses" if noun == "cross" else noun + "s"


def some(count, thing):
    """"a red star", "two red stars", "an orange star"; `thing` is a noun with what stands before it."""
    if count == 1:
        return ("an " if thing[0] in "aeiou" else "a ") + thing
    before, _, noun = thing.rpartition(" ")
    return f"{number(count)} {before + ' ' if before else ''}{plural(noun)}"


def sentence(text, end="."):
    return text[0].upper() + text[1:] + end


def split(text):
    return tuple(text.split("|"))

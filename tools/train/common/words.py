"""Numbers as they are spoken, and how far what was heard is from what was said."""

import re
from collections import Counter

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number(value):
    """In words, below 1000."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10 - 2] + (f" {ONES[value % 10]}" if value % 10 else "")
    rest = f" and {number(value % 100)}" if value % 100 else ""
    return f"{ONES[value // 100]} hundred{rest}"


def words(text):
    """In small letters, numbers spelled as they are said."""
    text = re.sub(r"(\d):(\d)", r"\1 \2", text.lower().replace("-", " "))
    text = re.sub(r"\d+", lambda found: f" {number(int(found[0]))} " if int(found[0]) < 1000 else found[0], text)
    return [word for word in re.sub(r"[^a-z0-9' ]", "", text).split() if word != "and"]


def plain(text):
    """In small letters, without what is neither letter nor digit."""
    return "".join(c for c in text.lower() if c.isalnum() or c == " ").split()


def rarest(texts):
    """Of each text how many of them have its rarest word."""
    words = [set(plain(text)) for text in texts]
    texts_with = Counter(word for each in words for word in each)
    return [min((texts_with[word] for word in each), default=1) for each in words]


def word_errors(said, heard):
    """Words that are wrong, missing or too many (Levenshtein 1966)."""
    row = list(range(len(heard) + 1))
    for place, word in enumerate(said, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(heard, 1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
    return row[-1]

"""The sections of a size's file, sizes/SIZE.yaml, checked before anything is done with them."""

from pathlib import Path

import yaml

SIZES = Path(__file__).resolve().parents[1] / "sizes"
NUMBER, WORD, SHARES = "a number above 0", "a word", "names and shares"
STAGE = {"batch": int, "steps": int, "rate": NUMBER, "ctc": NUMBER}
# What there must be, and its kind. `codec` is the codec's own.
SECTIONS = {
    "language": dict.fromkeys(
        ["layers", "width", "heads", "groups", "inner", "context", "tokens", "codes", "speech", "vision", "rope"], int
    ),
    "domain": {
        "most": int, "most_factor": int, "clock": bool, "sentences": int, "held_out_sentences": int, "pictures": int,
        "test_pictures": int,
    },
    "speech": {
        "ears": WORD, "clips": int, "copies": int, "test": int, "longest": int, "topics": SHARES, "engines": SHARES,
        "unseen_voices": SHARES, "unseen_engines": SHARES,
    },
    "eyes": {"width": int, "layers": int, "text_width": int, "context": int, "batch": int, "steps": int, "rate": NUMBER},
    "stages": {"text": STAGE, "stage1": STAGE, "stage2": STAGE, "stage3": STAGE, "joint": STAGE},
}  # fmt: skip
OPTIONAL = {"ctc"}


class WrongSetting(Exception):
    """What is wrong, where, and what would be right."""


def load(size):
    """The settings of a size, or of a file of such."""
    path = Path(size) if size.endswith((".yaml", ".yml")) else SIZES / f"{size}.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        there = ", ".join(sorted(found.stem for found in SIZES.glob("*.yaml")))
        raise WrongSetting(f"{path}: {error.strerror}; sizes are {there}") from None
    except yaml.YAMLError as error:
        raise WrongSetting(f"{path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise WrongSetting(f"{path}: expected sections {', '.join(SECTIONS)}")
    for section, keys in SECTIONS.items():
        _check(values.get(section), keys, f"{path}: {section}")
    language = values["language"]
    if language["width"] % language["heads"] or language["heads"] % language["groups"]:
        raise WrongSetting(f"{path}: language: width must be divisible by heads, and heads by groups")
    if (language["tokens"] + 64) % 64:
        raise WrongSetting(f"{path}: language.tokens: expected a multiple of 64, found {language['tokens']}")
    if language["tokens"] < 260:
        raise WrongSetting(f"{path}: language.tokens: expected more than 259 (bytes and marks), found {language['tokens']}")
    return values


def _check(found, keys, place):
    if not isinstance(found, dict):
        raise WrongSetting(f"{place}: expected {', '.join(keys)}, found {found!r}")
    for name in found:
        if name not in keys:
            raise WrongSetting(f"{place}.{name}: not a setting; there are {', '.join(keys)}")
    for name, kind in keys.items():
        if name not in found:
            if name in OPTIONAL:
                continue
            raise WrongSetting(f"{place}.{name}: missing")
        _check_one(found[name], kind, f"{place}.{name}")


def _check_one(value, kind, place):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(kind, dict):
        _check(value, kind, place)
    elif kind == SHARES:
        good = isinstance(value, dict) and all(isinstance(share, (int, float)) and share > 0 for share in value.values())
        if not good:
            raise WrongSetting(f"{place}: expected names and their shares, found {value!r}")
    elif kind is int and (not number or not isinstance(value, int) or not 1 <= value <= 100_000_000):
        raise WrongSetting(f"{place}: expected a whole number from 1, found {value!r}")
    elif kind == NUMBER and (not number or value < 0):
        raise WrongSetting(f"{place}: expected {NUMBER}, found {value!r}")
    elif kind is bool and not isinstance(value, bool) or kind == WORD and not isinstance(value, str):
        raise WrongSetting(f"{place}: expected {'true or false' if kind is bool else WORD}, found {value!r}")

"""Settings, sizes/SIZE.yaml or a file like it, checked before anything is done with them."""

from pathlib import Path

import yaml

from .folders import SIZES

# Kinds of value beside int, bool, [int] (a list of whole numbers), and dicts of names and kinds.
NUMBER, WORD, SHARES = "a number", "a word", "names and shares"
MOST = 100_000_000


class WrongSetting(Exception):
    """What is wrong, where, and what would be right."""


def document(size, device="cuda"):
    """A size's settings, or those of a file: their sections, and the file. Those of the size that its `like` names hold where it
    says nothing. On processors what its section `cpu` says takes the place of what the others say."""
    file = Path(size) if size.endswith((".yaml", ".yml")) else SIZES / f"{size}.yaml"
    sections = _whole(file)
    own = sections.pop("cpu", {})
    return _over(sections, own, f"{file}: cpu") if device == "cpu" else sections, file


def _whole(file, others=()):
    """What a file says, and where it says nothing, what the size that it is like does. others: files that are like this one."""
    sections = _read(file)
    like = sections.pop("like", None)
    if like is None:
        return sections
    other = SIZES / f"{like}.yaml"
    if not other.exists():
        raise WrongSetting(f"{file}: like: there is no size '{like}'")
    if other in (file, *others):
        raise WrongSetting(f"{file}: like: '{like}' is like this size; one of them must say all there is")
    return _filled(_whole(other, (file, *others)), sections)


def _read(file):
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        there = ", ".join(sorted(path.stem for path in SIZES.glob("*.yaml")))
        raise WrongSetting(f"{file}: {error.strerror}; sizes are {there}") from None
    return parsed(text, file)


def _filled(values, own):
    """`values` with those of `own` in their place or beside them."""
    if not isinstance(values, dict) or not isinstance(own, dict):
        return own
    return values | {name: _filled(values.get(name), value) for name, value in own.items()}


def _over(values, own, place):
    """`values` with those of `own` in their place, which has no others."""
    if not isinstance(own, dict):
        raise WrongSetting(f"{place}: expected keys and values, found {own!r}")
    found = dict(values)
    for name, value in own.items():
        if name not in values:
            raise WrongSetting(f"{place}.{name}: not a setting of this size")
        found[name] = _over(values[name], value, f"{place}.{name}") if isinstance(values[name], dict) else value
    return found


def parsed(text, file):
    try:
        sections = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongSetting(f"{file}: not YAML: {error}") from None
    if not isinstance(sections, dict):
        raise WrongSetting(f"{file}: expected sections of keys and values, found {sections!r}")
    return sections


def check(found, kinds, place, optional=(), may_be_zero=()):
    """
    Raises WrongSetting unless every value is of its kind, in a range that can be computed with, and none is missing.

    kinds: by name. optional: names that may be missing; None for all. may_be_zero: names of numbers that may be 0.
    """
    if not isinstance(found, dict):
        raise WrongSetting(f"{place}: expected keys and values ({', '.join(kinds)}), found {found!r}")
    for name in found:
        if name not in kinds:
            raise WrongSetting(f"{place}.{name}: not a setting; there are {', '.join(kinds)}")
    for name, kind in kinds.items():
        where = f"{place}.{name}"
        if name not in found:
            if optional is not None and name not in optional:
                raise WrongSetting(f"{where}: missing")
        elif isinstance(kind, dict):
            check(found[name], kind, where, optional, may_be_zero)
        else:
            _check_one(found[name], kind, where, name in may_be_zero)


def _check_one(value, kind, place, may_be_zero):
    if kind is bool:
        expected, good = "true or false", isinstance(value, bool)
    elif kind == WORD:
        expected, good = kind, isinstance(value, str)
    elif kind == SHARES:
        expected = "names and their shares"
        good = isinstance(value, dict) and all(_is_number(share) and share > 0 for share in value.values())
    elif kind == [int]:
        expected = "a list of 1 to 8 whole numbers from 1"
        good = isinstance(value, list) and 1 <= len(value) <= 8 and all(_is_whole(each, 1) for each in value)
    elif kind is int:
        least = 0 if may_be_zero else 1
        expected, good = f"a whole number from {least} to {MOST}", _is_whole(value, least)
    else:
        expected = "a number from 0" if may_be_zero else "a number above 0"
        good = _is_number(value) and (value >= 0 if may_be_zero else value > 0)
    if not good:
        raise WrongSetting(f"{place}: expected {expected}, found {value!r}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= MOST


def _is_whole(value, least):
    return _is_number(value) and isinstance(value, int) and value >= least

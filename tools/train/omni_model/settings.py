"""The sections of a size's file, sizes/SIZE.yaml, checked before anything is done with them."""

from common.settings import NUMBER, SHARES, WORD, WrongSetting, check, document

from .published.sets import KINDS, LAYOUTS

STAGE = {"batch": int, "steps": int, "rate": NUMBER, "ctc": NUMBER, "listens": NUMBER, "said": NUMBER, "described": NUMBER,
         "guided": NUMBER, "looking": NUMBER, "kept": NUMBER, "read": NUMBER, "heard": NUMBER, "seen": NUMBER,
         "questions": int, "given": NUMBER, "slips": NUMBER, "transcribed": NUMBER, "slowly": NUMBER}  # fmt: skip
# What there must be, and its kind. `codec` is the codec's own.
SECTIONS = {
    "language": dict.fromkeys(
        ["layers", "speaking_layers", "width", "heads", "groups", "inner", "context", "tokens", "codes", "speech", "vision",
         "rope"], int
    ),
    "domain": {
        "most": int, "most_factor": int, "clock": bool, "sentences": int, "held_out_sentences": int, "pictures": int,
        "test_pictures": int, "dictated": int, "ways": int,
    },
    "speech": {
        "ears": WORD, "clips": int, "copies": int, "test": int, "longest": int, "topics": SHARES, "engines": SHARES,
        "unseen_voices": SHARES, "unseen_engines": SHARES,
    },
    "answers": {"steady": bool},
    "listener": {"clips": NUMBER, "sounds": int, "test": int, "backgrounds": int},
    "eyes": {"width": int, "layers": int, "text_width": int, "context": int, "batch": int, "steps": int, "rate": NUMBER},
    "stages": {"text": STAGE, "stage1": STAGE, "stage2": STAGE, "stage3": STAGE, "joint": STAGE},
}  # fmt: skip
# Of sizes that are trained on published sets: what is generated, and how eyes are trained, is no matter there.
DATA = {
    "language": WORD, "eyes": WORD, "codec": WORD, "words": int, "tokens": int, "shard": int, "shards": int, "held": int,
    "every": int,
}  # fmt: skip
SET = {"layout": WORD, "folder": WORD, "share": NUMBER}
PUBLISHED = {
    "language": SECTIONS["language"],
    "speech": {"ears": WORD, "longest": int, "engines": SHARES},
    "stages": {name: STAGE for name in ("stage1", "stage2", "stage3", "joint")},
}
OPTIONAL = MAY_BE_ZERO = {
    "ctc", "listens", "said", "heard", "seen", "described", "dictated", "guided", "looking", "kept", "read", "questions",
    "given", "slips", "transcribed", "slowly", "speaking_layers",
}  # fmt: skip


def load(size, device="cuda"):
    """The settings of a size, or of a file of such, on a kind of device."""
    values, path = document(size, device)
    kinds = PUBLISHED if "data" in values else SECTIONS
    if "listener" in values:
        kinds = kinds | {"listener": SECTIONS["listener"]}
    for section, kinds in kinds.items():
        check(values.get(section), kinds, f"{path}: {section}", OPTIONAL, MAY_BE_ZERO)
    if "data" in values:
        _check_data(values["data"], f"{path}: data")
    language = values["language"]
    if language["width"] % language["heads"] or language["heads"] % language["groups"]:
        raise WrongSetting(f"{path}: language: width must be divisible by heads, and heads by groups")
    if (language["tokens"] + 64) % 64:
        raise WrongSetting(f"{path}: language.tokens: expected a multiple of 64, found {language['tokens']}")
    if language["tokens"] < 260:
        raise WrongSetting(f"{path}: language.tokens: expected more than 259 (bytes and marks), found {language['tokens']}")
    return values


def _check_data(found, place):
    sets = found.get("sets") if isinstance(found, dict) else None
    if not isinstance(sets, dict) or not sets:
        raise WrongSetting(f"{place}.sets: expected names and settings of data sets, found {sets!r}")
    check({name: value for name, value in found.items() if name != "sets"}, DATA, place)
    kinds = set()
    for name, one in sets.items():
        check(one, SET, f"{place}.sets.{name}")
        if one["layout"] not in LAYOUTS:
            raise WrongSetting(f"{place}.sets.{name}.layout: {one['layout']} is none; there are {', '.join(LAYOUTS)}")
        kinds.update(LAYOUTS[one["layout"]].kinds)
    for kind, what in KINDS.items():
        if kind not in kinds:
            raise WrongSetting(f"{place}.sets: there are no {what}, which stages learn from")

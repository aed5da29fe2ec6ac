"""The sections of a size's file, sizes/SIZE.yaml, checked before anything is done with them."""

from common.settings import NUMBER, SHARES, WORD, WrongSetting, check, document

STAGE = {"batch": int, "steps": int, "rate": NUMBER, "ctc": NUMBER, "listens": NUMBER}
# What there must be, and its kind. `codec` is the codec's own.
SECTIONS = {
    "language": dict.fromkeys(
        ["layers", "width", "heads", "groups", "inner", "context", "tokens", "codes", "speech", "vision", "rope"], int
    ),
    "domain": {
        "most": int, "most_factor": int, "clock": bool, "sentences": int, "held_out_sentences": int, "pictures": int,
        "test_pictures": int, "dictated": int,
    },
    "speech": {
        "ears": WORD, "clips": int, "copies": int, "test": int, "longest": int, "topics": SHARES, "engines": SHARES,
        "unseen_voices": SHARES, "unseen_engines": SHARES,
    },
    "listener": {"clips": NUMBER, "sounds": int, "test": int, "backgrounds": int},
    "eyes": {"width": int, "layers": int, "text_width": int, "context": int, "batch": int, "steps": int, "rate": NUMBER},
    "stages": {"text": STAGE, "stage1": STAGE, "stage2": STAGE, "stage3": STAGE, "joint": STAGE},
}  # fmt: skip
MAY_BE_ZERO = {"ctc", "listens", "dictated"}
OPTIONAL = MAY_BE_ZERO


def load(size, device="cuda"):
    """The settings of a size, or of a file of such, on a kind of device."""
    values, path = document(size, device)
    for section, kinds in SECTIONS.items():
        check(values.get(section), kinds, f"{path}: {section}", OPTIONAL, MAY_BE_ZERO)
    language = values["language"]
    if language["width"] % language["heads"] or language["heads"] % language["groups"]:
        raise WrongSetting(f"{path}: language: width must be divisible by heads, and heads by groups")
    if (language["tokens"] + 64) % 64:
        raise WrongSetting(f"{path}: language.tokens: expected a multiple of 64, found {language['tokens']}")
    if language["tokens"] < 260:
        raise WrongSetting(f"{path}: language.tokens: expected more than 259 (bytes and marks), found {language['tokens']}")
    return values

"""Makes up a byte-level BPE tokenizer of any size, in the form of Qwen2's `tokenizer.json`."""

import json
import random

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen2's pre-tokenizer
PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# By frequency in English: a word is likelier made of the first ones.
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
SPACE = "\u0120"
LONGEST = 12


def alphabet():
    """The characters that stand for the bytes 0 to 255: printable ones for themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(0x100 + i) for i in range(len(others))]


def merges(count, seed):
    """Rules that make `count` different words out of letters, each of earlier ones, the short and frequent first."""
    draw, known, rules = random.Random(seed), set(LETTERS) | {SPACE}, []
    words, starts = list(LETTERS), [SPACE, *LETTERS]  # what may end a word, and what may begin one

    def early(entries):
        return entries[int(len(entries) * draw.random() ** 3)]

    while len(rules) < count:
        left, right = early(starts), early(words)
        word = left + right
        if word in known or len(word) > LONGEST:
            continue
        known.add(word)
        rules.append((left, right))
        starts.append(word)
        if not word.startswith(SPACE):
            words.append(word)
    return rules


def tokenizer(tokens, seed):
    """A tokenizer of `tokens` ids: 256 bytes, merges, and Qwen2's special tokens at the end."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    rules = merges(tokens - 256 - len(SPECIAL), seed)
    vocabulary = alphabet() + [left + right for left, right in rules]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": len(vocabulary) + i, "content": text, **added} for i, text in enumerate(SPECIAL)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(vocabulary)},
            "merges": [f"{left} {right}" for left, right in rules],
        },
    }


def write(path, tokens, seed):
    path.write_text(json.dumps(tokenizer(tokens, seed), ensure_ascii=False), encoding="utf-8")

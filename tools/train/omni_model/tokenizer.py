"""A byte-level BPE of the project's own, in the form of Qwen2's `tokenizer.json`."""

import collections
import json
import re
import unicodedata

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen2's pre-tokenizer, as the file names it, and in Python's own expressions.
PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTER, NUMBER = r"[^\W\d_]", r"\d"
PATTERN = re.compile(
    PIECES.replace(r"[^\r\n\p{L}\p{N}]", r"(?:[^\w\r\n]|_)").replace(r"[^\s\p{L}\p{N}]", r"(?:[^\w\s]|_)")
    .replace(r"\p{L}", LETTER).replace(r"\p{N}", NUMBER)
)  # fmt: skip
MOST_KNOWN = 1 << 20  # pieces whose tokens are kept in mind


def alphabet():
    """The characters that stand for the bytes 0 to 255: printable ones for themselves, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    table.update({byte: chr(0x100 + place) for place, byte in enumerate(others)})
    return table


def learned(texts, tokens):
    """Vocabulary and merges of `tokens` ids, the special ones included: the most frequent pair is merged first."""
    spelled = alphabet()
    counts = collections.Counter(piece for text in texts for piece in PATTERN.findall(text))
    words = {piece: [spelled[byte] for byte in piece.encode()] for piece in sorted(counts)}
    vocabulary, merges = [spelled[byte] for byte in sorted(spelled, key=spelled.get)], []
    while len(vocabulary) < tokens - len(SPECIAL):
        pairs = collections.Counter()
        for piece, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[piece]
        if not pairs:
            break
        # Of equals the first in order of spelling, so that the result does not depend on the order of texts.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        vocabulary.append(best[0] + best[1])
        for piece, parts in words.items():
            if best[0] in parts:
                words[piece] = merged(parts, best)
    return vocabulary, merges


def merged(parts, pair):
    result, place = [], 0
    while place < len(parts):
        if tuple(parts[place : place + 2]) == pair:
            result.append(pair[0] + pair[1])
            place += 2
        else:
            result.append(parts[place])
            place += 1
    return result


def written(vocabulary, merges):
    """The content of `tokenizer.json`."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": len(vocabulary) + i, "content": text, **added} for i, text in enumerate(SPECIAL)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "byte_fallback": False, "vocab": {token: i for i, token in enumerate(vocabulary)},
            "merges": [" ".join(pair) for pair in merges],
        },
    }  # fmt: skip


class Tokenizer:
    """Reads such a file; text to ids and back, special tokens in a text being text like any other."""

    def __init__(self, path):
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        rules = [tuple(rule.split(" ")) if isinstance(rule, str) else tuple(rule) for rule in model["merges"]]
        self.ranks = {pair: rank for rank, pair in enumerate(rules)}
        self.ids = model["vocab"]
        self.tokens = {number: token for token, number in self.ids.items()}
        self.spelled = alphabet()
        self.bytes = {character: byte for byte, character in self.spelled.items()}
        self.known = {}

    def encode(self, text):
        text = unicodedata.normalize("NFC", text)
        return [number for piece in PATTERN.findall(text) for number in self._piece(piece)]

    def _piece(self, piece):
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        if piece not in self.known:
            parts = [self.spelled[byte] for byte in piece.encode()]
            while len(parts) > 1:
                pair = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if pair not in self.ranks:
                    break
                parts = merged(parts, pair)
            self.known[piece] = [self.ids[part] for part in parts]
        return self.known[piece]

    def decode(self, ids):
        """Ids without a token are left out."""
        spelled = "".join(self.tokens.get(int(number), "") for number in ids)
        return bytes(self.bytes[character] for character in spelled if character in self.bytes).decode(errors="replace")

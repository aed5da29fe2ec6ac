"""Makes the answers of random weights come to an end, which they would not do by themselves: a clock among the weights, the
same as the goldens have.

The text id that ends every prompt leaves a mark in its column. One head of the first layer looks for it, with a score that
grows with the distance up to PEAK steps (a slow rotary pair turns it), and writes how much it saw into a dimension of the
residual that nothing else uses; the logits of the ids that end text and speech read it. When an answer ends, and that it
says other things before, is still decided by the random rest.
"""

import math

from .archives import Tensor
from .numbers import packed
from .shapes import LAYERS, SPECIALS

PEAK, SHARPNESS, MARKED = 60, 1.6, 16.0
TEXT, SPEECH = 4.5, 2.0  # how steeply the logits of the ends rise


def edited(tensor, rows=(), columns=(), numbers=None):
    """The tensor with rows and columns that are zero, and then with single numbers, {(row, column): number}."""
    kind, width, size = tensor.kind, tensor.shape[-1], tensor.kind.size

    def content(random):
        start = 0  # the place of the chunk's first number
        for chunk in tensor.content(random):
            chunk, count = bytearray(chunk), len(chunk) // size
            for row in rows:
                low, high = max(0, row * width - start), min(count, (row + 1) * width - start)
                if low < high:
                    chunk[low * size : high * size] = bytes((high - low) * size)
            for column in columns:
                for byte in range(size):
                    places = slice((column - start) % width * size + byte, None, width * size)
                    chunk[places] = bytes(len(chunk[places]))
            for (row, column), number in (numbers or {}).items():
                place = row * width + column - start
                if 0 <= place < count:
                    chunk[place * size : (place + 1) * size] = packed(kind, [number])
            yield bytes(chunk)
            start += count

    return Tensor(kind, tensor.shape, content)


def add(state, config):
    """Puts the clock into the language model's tensors."""
    text, audio = config["text_vocab_size"] - SPECIALS, config["audio_vocab_size"] - SPECIALS
    end_of_text, answer, transcribe = text, text + 3, text + 4
    end_of_speech = config["text_vocab_size"] + (LAYERS - 1) * config["audio_vocab_size"] + audio
    mark, time = config["n_embd"] - 1, config["n_embd"] - 2
    for name, tensor in state.items():
        if name.endswith("proj.weight"):
            state[name] = edited(tensor, rows=(mark, time))
    steep = config["n_layer"] ** 0.5  # the deeper, the larger is what the last norm divides by
    marks = {(answer, mark): MARKED, (transcribe, mark): MARKED}
    ends = {(end_of_text, time): TEXT * steep, (end_of_speech, time): SPEECH * steep}
    for name, entries in (("transformer.wte.weight", marks), ("lm_head.weight", ends)):
        state[name] = edited(state[name], columns=(mark, time), numbers=entries)

    # The last group's rows: its query heads, its key, its value. The last query head is the clock's; no other sees the mark.
    heads, size = config["n_head"] // config["n_query_groups"], config["head_size"]
    first = (config["n_query_groups"] - 1) * (heads + 2) * size
    query, key, value = (first + i * size for i in (heads - 1, heads, heads + 1))
    low, high = size // 8, size // 8 + size // 2  # the rotary pair
    silent = [*range(query, key), value]
    silent += [first + head * size + row for head in (*range(heads - 1), heads) for row in (low, high)]
    angle = config["rope_base"] ** (-2 * low / size) * PEAK
    looking = {query + low: math.cos(angle), query + high: -math.sin(angle)}
    biases = {(0, row): SHARPNESS * size**0.5 * looking.get(row, 0) for row in silent}
    layer = "transformer.h.0.attn."
    marked = {(key + low, mark): 1.0, (value, mark): 1.0}
    state[layer + "attn.weight"] = edited(state[layer + "attn.weight"], rows=silent, numbers=marked)
    state[layer + "attn.bias"] = edited(state[layer + "attn.bias"], numbers=biases)
    seen = (config["n_head"] - 1) * size
    state[layer + "proj.weight"] = edited(state[layer + "proj.weight"], columns=(seen,), numbers={(time, seen): 1.0})

"""Writes the random models that llama.cpp and whisper.cpp are measured with: models.py FOLDER.

Their numbers are of no use; their shapes and formats are the real ones'. A file appears whole or not at all.
"""

import struct
import sys
from pathlib import Path

import gguf
import numpy as np

from shapes import LANGUAGE, WHISPER

Q = gguf.GGMLQuantizationType


class Numbers:
    """Normally distributed weights, of which one block is drawn and used again and again: a matter of speed."""

    def __init__(self, seed):
        self.block = (np.random.default_rng(seed).standard_normal(1 << 22) * 0.02).astype(np.float32)

    def matrix(self, *shape):
        return np.resize(self.block, shape)


def wholly(path, write):
    if path.exists():
        print(f"{path.name}: present", file=sys.stderr)
        return
    part = path.with_suffix(".part")
    write(part)
    part.rename(path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB", file=sys.stderr)


def language(path, kind):
    """llama.cpp's file of a Qwen2: all matrices of one type, vectors in fp32, no tokenizer."""
    shape, numbers = LANGUAGE, Numbers(1)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_rope_freq_base(shape.rotary_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("none")
    writer.add_file_type({Q.BF16: 32, Q.Q8_0: 7, Q.Q4_0: 2}[kind])

    def matrix(name, rows, columns):
        writer.add_tensor(f"{name}.weight", gguf.quantize(numbers.matrix(rows, columns), kind), raw_dtype=kind)

    def vector(name, value):
        writer.add_tensor(name, value.astype(np.float32))

    matrix("token_embd", shape.vocabulary, shape.width)
    matrix("output", shape.vocabulary, shape.width)
    vector("output_norm.weight", np.ones(shape.width))
    query, key = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        vector(f"{block}.attn_norm.weight", np.ones(shape.width))
        vector(f"{block}.ffn_norm.weight", np.ones(shape.width))
        for part, rows in [("attn_q", query), ("attn_k", key), ("attn_v", key)]:
            matrix(f"{block}.{part}", rows, shape.width)
            vector(f"{block}.{part}.bias", numbers.matrix(rows))
        matrix(f"{block}.attn_output", shape.width, query)
        matrix(f"{block}.ffn_gate", shape.feed_forward, shape.width)
        matrix(f"{block}.ffn_up", shape.feed_forward, shape.width)
        matrix(f"{block}.ffn_down", shape.width, shape.feed_forward)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# whisper.cpp's own format, of which gguf knows nothing.
MAGIC = 0x67676D6C
# Of ggml's file types; quantized ones carry the version of the blocks' layout, in thousands.
FILE_TYPES = {Q.F16: 1, Q.Q8_0: 2007}


def whisper(path, size, kind):
    shape, numbers = WHISPER[size], Numbers(2)
    with open(path, "wb") as file:
        file.write(
            struct.pack(
                "<12i",
                MAGIC,
                shape.vocabulary,
                shape.audio_context,
                shape.width,
                shape.heads,
                shape.layers,
                shape.text_context,
                shape.width,
                shape.heads,
                shape.layers,
                shape.bands,
                FILE_TYPES[kind],
            )
        )
        filters = numbers.matrix(shape.bands, 201)
        file.write(struct.pack("<2i", *filters.shape) + abs(filters).tobytes())
        words = [f"<{index}>".encode() for index in range(50_257)]
        file.write(struct.pack("<i", len(words)))
        file.writelines(struct.pack("<I", len(word)) + word for word in words)
        for name, dimensions in whisper_tensors(shape):
            tensor(file, numbers, name, dimensions, kind)


def tensor(file, numbers, name, dimensions, kind):
    """One tensor: rank, length of the name, type, dimensions from the innermost, name, numbers."""
    if len(dimensions) == 1 or dimensions[1:] == (1,) or name.endswith("positional_embedding"):
        kind = Q.F32
    elif len(dimensions) == 3:
        kind = Q.F16  # convolutions are never quantized
    values = numbers.matrix(*dimensions)
    data = values.tobytes() if kind == Q.F32 else gguf.quantize(values, kind).tobytes()
    text = name.encode()
    file.write(struct.pack("<3i", len(dimensions), len(text), kind))
    file.write(struct.pack(f"<{len(dimensions)}i", *reversed(dimensions)) + text + data)


def whisper_tensors(shape):
    """Names as openai-whisper's, and dimensions, the outermost first."""
    width, inner = shape.width, 4 * shape.width
    for side, context in [("encoder", shape.audio_context), ("decoder", shape.text_context)]:
        yield f"{side}.positional_embedding", (context, width)
        if side == "encoder":
            yield "encoder.conv1.weight", (width, shape.bands, 3)
            yield "encoder.conv1.bias", (width, 1)
            yield "encoder.conv2.weight", (width, width, 3)
            yield "encoder.conv2.bias", (width, 1)
        else:
            yield "decoder.token_embedding.weight", (shape.vocabulary, width)
        final = "encoder.ln_post" if side == "encoder" else "decoder.ln"
        for layer in range(shape.layers):
            block = f"{side}.blocks.{layer}"
            for attention in ["attn"] if side == "encoder" else ["attn", "cross_attn"]:
                yield from norm(f"{block}.{attention}_ln", width)
                for part in ["query", "key", "value", "out"]:
                    yield f"{block}.{attention}.{part}.weight", (width, width)
                    if part != "key":
                        yield f"{block}.{attention}.{part}.bias", (width,)
            yield from norm(f"{block}.mlp_ln", width)
            yield f"{block}.mlp.0.weight", (inner, width)
            yield f"{block}.mlp.0.bias", (inner,)
            yield f"{block}.mlp.2.weight", (width, inner)
            yield f"{block}.mlp.2.bias", (width,)
        yield from norm(final, width)


def norm(name, width):
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in [Q.BF16, Q.Q8_0, Q.Q4_0]:
        wholly(folder / f"language-{kind.name.lower()}.gguf", lambda path, kind=kind: language(path, kind))
    for size in WHISPER:
        for kind in FILE_TYPES:
            name = f"whisper-{size}-{kind.name.lower()}.bin"
            wholly(folder / name, lambda path, size=size, kind=kind: whisper(path, size, kind))


if __name__ == "__main__":
    main()

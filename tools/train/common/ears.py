"""The real Whisper encoder, frozen, as the whisper-encoder node runs it with `rows: heard`, `encode: tight` and
`padding: silence`: what was heard is encoded alone, a row for every 20 ms, not padded to 30 s.

That is not what Whisper was trained on (docs/mini-omni2.md says how far the features are off), but it is six times as fast,
and the language model learns from just these features.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

HOP, FRAME, BINS = 160, 400, 80


def rows(samples):
    """How many features stand for so many samples, in the release's order of operations."""
    return int(samples / 16_000 * 1000 / 20) + 1


def filters():
    """[201, 80]: triangles of unit area, evenly spaced on Slaney's mel scale from 0 to 8000 Hz."""
    spacing, corner, step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = corner / spacing + np.log(8000 / corner) / step
    mel = top * np.arange(BINS + 2) / (BINS + 1)
    edges = np.where(mel < corner / spacing, mel * spacing, corner * np.exp(step * (mel - corner / spacing)))
    frequency = np.arange(FRAME // 2 + 1)[:, None] * 16_000 / FRAME
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.minimum((frequency - low) / (middle - low), (high - frequency) / (high - middle))
    return torch.from_numpy((np.maximum(0, weights) * 2 / (high - low)).astype(np.float32))


def log_mel(samples, counts):
    """samples [batch, longest], zero behind each one's count: mel [batch, 80, 2 rows of the longest], and rows of each."""
    heard = torch.tensor([rows(count) for count in counts], device=samples.device)
    frames = 2 * int(heard.max())
    start = samples[:, 1 : FRAME // 2 + 1].flip(1)
    padded = functional.pad(torch.cat([start, samples], 1), (0, max(0, (frames - 1) * HOP + FRAME - samples.shape[1] - 200)))
    pieces = padded.unfold(1, FRAME, HOP)[:, :frames] * torch.hann_window(FRAME, device=samples.device)
    power = torch.fft.rfft(pieces).abs().square()
    logs = (power @ filters().to(samples.device)).clamp_min(1e-10).log10()
    inside = torch.arange(frames, device=samples.device)[None] < 2 * heard[:, None]
    logs = logs.masked_fill(~inside[..., None], -10)
    mel = (torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8) + 4) / 4
    return (mel * inside[..., None]).transpose(1, 2), heard


class Ears:
    """The encoder; weights have openai-whisper's names, without `encoder.`."""

    def __init__(self, path, device):
        self.weights, self.heads = read(Path(path))
        self.weights = {name: tensor.float().to(device) for name, tensor in self.weights.items()}
        self.width = self.weights["ln_post.weight"].shape[0]
        self.device, self.half = device, device.type == "cuda"

    @torch.no_grad()
    def __call__(self, samples, counts):
        """[batch, longest] of full scale at 1: features [batch, rows of the longest, width], and rows of each."""
        mel, heard = log_mel(samples, counts)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.states(mel, heard)[-1], heard

    def states(self, mel, heard):
        """mel [batch, 80, 2 rows], of which so many rows of each are heard: the states [batch, rows, width] before the first
        block and behind each, the last of them normed."""
        w = self.weights
        x = functional.gelu(functional.conv1d(mel, w["conv1.weight"], w["conv1.bias"], padding=1))
        x = functional.gelu(functional.conv1d(x, w["conv2.weight"], w["conv2.bias"], stride=2, padding=1))
        x = x.transpose(1, 2).float() + w["positional_embedding"][: x.shape[2]]
        seen = (torch.arange(x.shape[1], device=x.device)[None] < heard[:, None])[:, None, None]
        found, layer = [x], 0
        while f"blocks.{layer}.attn_ln.weight" in w:
            found.append(self._block(f"blocks.{layer}.", found[-1], seen))
            layer += 1
        found[-1] = self._norm("ln_post", found[-1])
        return found

    def _norm(self, name, x):
        return functional.layer_norm(x, (self.width,), self.weights[name + ".weight"], self.weights[name + ".bias"])

    def _linear(self, name, x):
        return functional.linear(x, self.weights[name + ".weight"], self.weights.get(name + ".bias"))

    def _block(self, name, x, seen):
        batch, count, width = x.shape
        y = self._norm(name + "attn_ln", x)
        q, k, v = (self._linear(f"{name}attn.{part}", y).view(batch, count, self.heads, -1).transpose(1, 2)
                   for part in ("query", "key", "value"))  # fmt: skip
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(batch, count, width)
        x = x + self._linear(name + "attn.out", y)
        y = functional.gelu(self._linear(name + "mlp.0", self._norm(name + "mlp_ln", x)))
        return x + self._linear(name + "mlp.2", y)


def features(ears, shard, most_rows):
    """A shard of speech.py, encoded: features fp16 [rows, width] of all clips in a row, and rows of each; clips longer than
    `most_rows` are left out."""
    # Rows that are computed at once, padding included: on a processor what its caches hold, which is three times as fast.
    budget = 60_000 if ears.device.type == "cuda" else 1_000
    ends = np.cumsum(shard["counts"])
    starts = ends - shard["counts"]
    order = np.argsort(shard["counts"], kind="stable")
    order = [place for place in order if rows(shard["counts"][place]) <= most_rows]
    found, first = {}, 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * rows(shard["counts"][order[last]]) <= budget:
            last += 1
        chosen = order[first:last]
        counts = [int(shard["counts"][place]) for place in chosen]
        batch = np.zeros((len(chosen), max(max(counts), FRAME)), np.int16)
        for row, place in enumerate(chosen):
            batch[row, : counts[row]] = shard["samples"][starts[place] : ends[place]]
        samples = torch.from_numpy(batch).to(ears.device).float() / 32768
        encoded, heard = ears(samples, counts)
        for row, place in enumerate(chosen):
            found[place] = encoded[row, : int(heard[row])].half().cpu()
        first = last
    kept = sorted(found)
    return {
        "features": torch.cat([found[place] for place in kept]) if kept else torch.zeros(0, ears.width).half(),
        "rows": torch.tensor([len(found[place]) for place in kept]),
        "texts": torch.from_numpy(shard["texts"][kept]), "voices": [shard["voices"][place] for place in kept],
    }  # fmt: skip


# MARK: Reading


def read(path):
    """The encoder's tensors and its number of heads, from openai-whisper's `*.pt`, CTranslate2's `model.bin`, or what
    `save` wrote."""
    if path.is_dir():
        path = path / "model.bin"
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["heads"])
    if path.suffix == ".pt":
        saved = torch.load(path, weights_only=True)
        state = {name[8:]: value for name, value in saved["model_state_dict"].items() if name.startswith("encoder.")}
        return state, saved["dims"]["n_audio_head"]
    return converted(ctranslate2(path))


def save(path, out):
    """The encoder alone, in fp16."""
    weights, heads = read(Path(path))
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, out, metadata={"heads": str(heads)})


TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def ctranslate2(path):
    """Named arrays of a `model.bin`."""
    data, place, found = Path(path).read_bytes(), 0, {}

    def take(kind):
        nonlocal place
        value = struct.unpack_from("<" + kind, data, place)[0]
        place += struct.calcsize("<" + kind)
        return value

    def name():
        nonlocal place
        length = take("H")
        place += length
        return data[place - length : place - 1].decode()

    take("I"), name(), take("I")
    for _ in range(take("I")):
        key = name()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = TYPES[take("B")], take("I")
        found[key] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, place).reshape(shape)
        place += size
    return found


def converted(arrays):
    """CTranslate2's names to openai-whisper's."""

    def tensor(name):
        array = arrays[name].astype(np.float32)
        scale = arrays.get(f"{name}_scale")
        return torch.from_numpy(array if scale is None else array / scale.astype(np.float32).reshape(-1, 1))

    state = {"positional_embedding": tensor("encoder/position_encodings/encodings")}
    for ours, theirs, norm in _names(sum("self_attention/linear_0/weight" in name and "encoder" in name for name in arrays)):
        for part, kind in (("weight", "gamma" if norm else "weight"), ("bias", "beta" if norm else "bias")):
            state[f"{ours}.{part}"] = tensor(f"encoder/{theirs}/{kind}")
    for name in [name for name in state if ".qkv." in name]:
        joined = state.pop(name)
        for part, value in zip(("query", "key", "value"), joined.chunk(3)):
            state[name.replace("qkv", part)] = value
    return state, int(arrays["encoder/num_heads"])


def _names(layers):
    yield from (("conv1", "conv1", False), ("conv2", "conv2", False), ("ln_post", "layer_norm", True))
    for layer in range(layers):
        ours, theirs = f"blocks.{layer}", f"layer_{layer}"
        yield f"{ours}.attn_ln", f"{theirs}/self_attention/layer_norm", True
        yield f"{ours}.attn.qkv", f"{theirs}/self_attention/linear_0", False
        yield f"{ours}.attn.out", f"{theirs}/self_attention/linear_1", False
        yield f"{ours}.mlp_ln", f"{theirs}/ffn/layer_norm", True
        yield f"{ours}.mlp.0", f"{theirs}/ffn/linear_0", False
        yield f"{ours}.mlp.2", f"{theirs}/ffn/linear_1", False

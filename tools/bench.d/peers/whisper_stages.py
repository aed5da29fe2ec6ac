"""whisper.cpp's encoder over a padded window of 30 s, through pywhispercpp's lowest layer.

Its encode() computes the keys and values of the decoder's cross-attention too, a twentieth of the whole.
"""

import ctypes
import sys
import time
from pathlib import Path

import numpy as np

from shapes import WHISPER

# Where `install.py` puts the wheel that everybody gets and a build for this machine.
BUILDS = Path(sys.prefix) / "whisper.cpp"


def binding(folder):
    """The compiled module. A build's own, unlike a wheel's, does not know that its libraries lie beside it."""
    if not (folder / "pywhispercpp.libs").exists():
        for name in ["ggml-base", "ggml-cpu", "ggml", "whisper"]:
            ctypes.CDLL(str(folder / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    import _pywhispercpp

    return _pywhispercpp


def encoder(library, path, shape, threads, is_fused):
    """`is_fused`: attention as one operation, which is its default, and not always the faster."""
    parameters = library.whisper_context_default_params()
    parameters.use_gpu, parameters.flash_attn = False, is_fused
    context = library.whisper_init_from_file_with_params(str(path), parameters)
    if context is None:
        raise RuntimeError(f"whisper.cpp cannot load {path}")
    bands, frames = shape.bands, 2 * shape.audio_context
    mel = np.random.default_rng(3).standard_normal(bands * frames).astype(np.float32)
    if library.whisper_set_mel(context, mel, frames, bands) != 0:
        raise RuntimeError("whisper.cpp did not take the frames")

    def run():
        if library.whisper_encode(context, 0, threads) != 0:
            raise RuntimeError("whisper.cpp did not encode")

    return run


def duration(run, count=2):
    """The shortest of `count` runs, after one that finds everything cold."""
    times = []
    for _ in range(count + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def stage(name, kind, threads, models, build):
    library = binding(BUILDS / build)
    path, shape = Path(models) / f"{name}-{kind}.bin", WHISPER[name.removeprefix("whisper-")]
    ways = [encoder(library, path, shape, threads, is_fused) for is_fused in (True, False)]
    return min(ways, key=duration)  # attention as is best for this size and kind

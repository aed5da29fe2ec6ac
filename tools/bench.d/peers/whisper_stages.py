"""whisper.cpp's encoder over a padded window of 30 s, through pywhispercpp's lowest layer.

Its encode() computes the keys and values of the decoder's cross-attention too, a twentieth of the whole.
"""

import sys
from pathlib import Path

import numpy as np
from shapes import WHISPER

# Where `install.py` puts the builds, and which of them it found to be the fastest.
PEERS = Path(sys.prefix)


def stage(name, kind, threads, models, build=None):
    build = build or (PEERS / "whisper.cpp" / "best").read_text().strip()
    sys.path.insert(0, str(PEERS / "whisper.cpp" / build))
    import _pywhispercpp as library

    size = name.removeprefix("whisper-")
    path = Path(models) / f"{name}-{kind}.bin"
    parameters = library.whisper_context_default_params()
    parameters.use_gpu = False
    context = library.whisper_init_from_file_with_params(str(path), parameters)
    if context is None:
        raise RuntimeError(f"whisper.cpp cannot load {path}")
    bands, frames = WHISPER[size].bands, 2 * WHISPER[size].audio_context
    mel = np.random.default_rng(3).standard_normal(bands * frames).astype(np.float32)
    if library.whisper_set_mel(context, mel, frames, bands) != 0:
        raise RuntimeError("whisper.cpp did not take the frames")

    def run():
        if library.whisper_encode(context, 0, threads) != 0:
            raise RuntimeError("whisper.cpp did not encode")

    return run

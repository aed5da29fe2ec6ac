"""Recordings and pictures as the encoders take them. Free of PyTorch, so that the processes that read start fast."""

import io

import numpy as np
from synthesis import signal

from .records import WrongData

MOST_SECONDS = 60
MOST_PIXELS = 1 << 26


def recording(source, place):
    """A file, or the bytes of one, as float32 at 16 kHz, its channels' mean; of any format and rate that libsndfile reads."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
            rate, count = file.samplerate, file.frames
            if not 0 < count <= MOST_SECONDS * rate:
                raise WrongData(f"{place}: expected a sound of up to {MOST_SECONDS} s, found {count} samples at {rate} Hz")
            samples = file.read(dtype="float32", always_2d=True).mean(1)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise WrongData(f"{place}: its sound cannot be read: {error}") from None
    if not np.isfinite(samples).all():
        raise WrongData(f"{place}: its sound has samples that are no numbers")
    return signal.to_rate(samples, rate)


def picture(source, place):
    """A file, or the bytes of one, as CLIP sees it: uint8 [224, 224, 3]."""
    from mini_omni2.vision import resized
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > MOST_PIXELS or min(image.size) * 50 < max(image.size):
                raise WrongData(f"{place}: a picture of {image.width} x {image.height} pixels")
            return resized(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise WrongData(f"{place}: its picture cannot be read: {error}") from None

"""Inputs made of integer arithmetic alone, so that any language makes the same ones."""

import numpy as np
from PIL import Image

MASK = (1 << 32) - 1


def sample_count(seed):
    return 3200 + 657 * seed


def speech(seed, count=None):
    """16-bit samples at 16 kHz that are loud and soft as syllables are: two triangle waves and noise.

    All values wrap at 32 bits unsigned except the samples; `>>` on a negative number rounds down.
    """
    count = sample_count(seed) if count is None else count
    state = (seed * 2654435761 + 12345) & MASK
    low_step, high_step = (100 + 37 * seed) * 268435, (700 + 113 * seed) * 268435  # 268435 = 2^32 / 16000: 1 Hz
    low = high = 0
    samples = np.empty(count, "<i2")
    for n in range(count):
        state = (state * 1664525 + 1013904223) & MASK
        low, high = (low + low_step) & MASK, (high + high_step) & MASK
        noise = (state >> 16) - 32768
        loudness = abs(((n >> 8) & 15) - 8)
        samples[n] = ((triangle(low) * 3 + triangle(high) * 2 + noise) * loudness) >> 6
    return samples


def triangle(phase):
    return abs((phase >> 16) - 32768) * 2 - 32768


def picture(width, height, channels):
    """Smooth gradients, a checkered disc and slanted bars: edges for the resize, little for the file."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = x * 255 // (width - 1)
    green = y * 255 // (height - 1)
    blue = ((x + 2 * y) // 11 % 2) * 160 + 40
    inside = (x - width // 3) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 4) ** 2
    disc = ((x // 6 + y // 6) % 2) * 255
    layers = [np.where(inside, disc, red), np.where(inside, 255 - disc, green), np.where(inside, disc // 2, blue)]
    if channels == 4:
        layers.append((x + y) * 255 // (width + height - 2))
    pixels = np.stack(layers, axis=-1).astype(np.uint8)
    return Image.fromarray(pixels, "RGBA" if channels == 4 else "RGB")

"""Small operations on sound: one-dimensional float32 arrays at 16 kHz."""

import numpy as np

RATE = 16_000


def resampled(samples, factor):
    """So many times as long, by Fourier transform: pitch and formants move as well."""
    count = max(1, round(len(samples) * factor))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, dtype=spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, count) * (count / max(1, len(samples)))).astype(np.float32)


def to_rate(samples, rate):
    return samples if rate == RATE else resampled(samples, RATE / rate)


def levels(samples, length=160):
    """The RMS of each piece of 10 ms."""
    count = len(samples) // length
    return np.sqrt(np.mean(np.square(samples[: count * length].reshape(count, length)), axis=1) + 1e-12)


def trimmed(samples, below=35):
    """Without what stands so many dB below the loudest 10 ms at both ends; None where nothing sounds."""
    heard = levels(samples)
    if len(heard) == 0 or heard.max() < 1e-4:
        return None
    loud = np.flatnonzero(heard > heard.max() * 10 ** (-below / 20))
    return samples[loud[0] * 160 : (loud[-1] + 1) * 160]


def speech_level(samples):
    """The RMS of the louder half of the pieces: pauses do not count."""
    heard = np.sort(levels(samples))
    return float(np.sqrt(np.mean(np.square(heard[len(heard) // 2 :])))) if len(heard) else 0.0


def scaled(samples, level):
    """With a speech level of so many dBFS."""
    found = speech_level(samples)
    return samples if found < 1e-6 else (samples * (10 ** (level / 20) / found)).astype(np.float32)


def convolved(samples, response):
    """As long as the samples."""
    count = 1 << (len(samples) + len(response) - 1).bit_length()
    product = np.fft.rfft(samples, count) * np.fft.rfft(response, count)
    return np.fft.irfft(product, count)[: len(samples)].astype(np.float32)


def pcm(samples):
    return np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2")

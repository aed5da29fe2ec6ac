"""What the network hears: the logarithm of a mel spectrogram, every 10 ms."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Mel:
    """Frames of `window` samples every `hop` under a Hann window, power in triangular bands of unit height, evenly spaced
    on O'Shaughnessy's mel scale (2595 log10(1 + f / 700)) from `low` to `high` Hz; ln(power + floor)."""

    rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft: int = 512
    bands: int = 32
    low: float = 60.0
    high: float = 7600.0
    floor: float = 1e-5

    def filters(self):
        """[fft / 2 + 1, bands], in double precision and then rounded."""
        mel = 2595 * np.log10(1 + np.array([self.low, self.high]) / 700)
        edges = 700 * (10 ** (np.linspace(mel[0], mel[1], self.bands + 2) / 2595) - 1)
        frequency = np.arange(self.fft // 2 + 1)[:, None] * self.rate / self.fft
        rise = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
        fall = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
        return torch.from_numpy(np.maximum(0, np.minimum(rise, fall)).astype(np.float32))

    def hann(self):
        turn = 2 * np.pi * np.arange(self.window) / self.window
        return torch.from_numpy((0.5 - 0.5 * np.cos(turn)).astype(np.float32))

    def frames(self, count):
        """How many frames so many samples complete."""
        return max(0, (count - self.window) // self.hop + 1)

    def __call__(self, samples):
        """[..., samples] to [..., frames, bands]."""
        pieces = samples.unfold(-1, self.window, self.hop) * self.hann().to(samples.dtype)
        spectrum = torch.fft.rfft(pieces, self.fft)
        power = spectrum.real**2 + spectrum.imag**2
        return torch.log(power @ self.filters().to(samples.dtype) + self.floor)

"""How far sound is from sound: spectra on several scales, and what discriminators make of it."""

import math

import torch
from torch import nn
from torch.nn import functional

from common import ears

# Of a window's magnitudes, for each of its samples: -82 dB of full scale. To strive for the digital silence between
# sentences would outweigh everything else.
FLOOR = 2e-5
# And where sound is learned from: -62 dB. A logarithm's slope is the steeper the quieter what it is of.
HEARD_FLOOR = 2e-4


def mel_filters(rate, window, bands):
    """Triangles that are evenly spread on the mel scale (O'Shaughnessy 1987), up to half the rate: [bins, bands]."""
    most = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, most, bands + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, window // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    # A band between two bins would be empty: it takes the nearest.
    empty = filters.sum(0) == 0
    nearest = (bins - edges[1:-1]).abs().argmin(0)
    filters[nearest[empty], empty.nonzero()[:, 0]] = 1
    return filters.float()


def bands_of(window):
    """As many as DAC (arXiv 2306.06546) takes: 320 at 2048."""
    return max(5, window * 5 // 32)


class Spectra(nn.Module):
    """
    Differences of log mel spectra, as of DAC, and of log magnitudes (arXiv 1910.11480), summed over the windows.
    """

    def __init__(self, rate, windows, floor=FLOOR):
        super().__init__()
        self.windows, self.floor = windows, floor
        for window in windows:
            self.register_buffer(f"window{window}", torch.hann_window(window))
            self.register_buffer(f"filters{window}", mel_filters(rate, window, bands_of(window)))

    def magnitudes(self, samples, window):
        """[batch, rows, bins]"""
        shape = getattr(self, f"window{window}")
        spectrum = torch.stft(samples, window, window // 4, window=shape, return_complex=True)
        return spectrum.abs().transpose(1, 2)

    def both(self, samples, window):
        """The logarithms of mel bands and of magnitudes."""
        magnitudes = self.magnitudes(samples, window)
        mel = magnitudes @ getattr(self, f"filters{window}")
        return mel.clamp(min=self.floor * window).log10(), magnitudes

    def forward(self, made, given):
        total = 0
        for window in self.windows:
            with torch.no_grad():
                mel, magnitudes = self.both(given, window)
            made_mel, made_magnitudes = self.both(made, window)
            total = total + functional.l1_loss(made_mel, mel)
            if window >= 512:
                logs = [each.clamp(min=self.floor * window).log10() for each in (made_magnitudes, magnitudes)]
                total = total + 0.25 * functional.l1_loss(*logs)
                total = total + 0.1 * (made_magnitudes - magnitudes).norm() / magnitudes.norm().clamp(min=1.0)
        return total


class Hearing:
    """How differently Whisper's encoder hears two sounds: what tells words apart counts, not what is loud."""

    def __init__(self, encoder, rate):
        """encoder: an ears.Ears."""
        self.encoder, self.hop = encoder, rate // 100
        self.window = torch.hann_window(rate // 40, device=encoder.device)
        self.filters = ears.filters().to(encoder.device)

    def mel(self, samples):
        """As ears.log_mel, at the samples' own rate: windows of 25 ms have the same bins at any. [batch, 80, 2 rows], logs."""
        spectrum = torch.stft(samples, len(self.window), self.hop, window=self.window, return_complex=True)
        spectrum = spectrum[:, : len(self.filters), : samples.shape[1] // (2 * self.hop) * 2] * (ears.FRAME / len(self.window))
        return (spectrum.abs().square().transpose(1, 2) @ self.filters).clamp_min(1e-10).log10().transpose(1, 2)

    def __call__(self, made, given):
        with torch.no_grad():
            logs = self.mel(given)
            least = logs.amax((1, 2), keepdim=True) - 8
        rows = torch.full((len(given),), logs.shape[2] // 2, device=given.device)
        theirs, ours = (self.encoder.states((torch.maximum(each, least) + 4) / 4, rows) for each in (logs, self.mel(made)))
        return sum((a - b).abs().mean() / b.abs().mean() for a, b in zip(ours, theirs)) / len(ours)


class RowSpectra(nn.Module):
    """The log mel spectrum of each latent row, which the codes are to tell by themselves."""

    BANDS = 80

    def __init__(self, shape):
        super().__init__()
        self.hop, window = shape.hop, 2 * shape.hop
        self.register_buffer("window", torch.hann_window(window))
        self.register_buffer("filters", mel_filters(shape.sampling_rate, window, self.BANDS))

    def forward(self, samples):
        """[batch, bands, rows], rows' middles being the windows'."""
        padded = functional.pad(samples[:, None], (self.hop // 2, self.hop // 2), mode="reflect")[:, 0]
        spectrum = torch.stft(padded, 2 * self.hop, self.hop, window=self.window, center=False, return_complex=True)
        return (spectrum.abs().transpose(1, 2) @ self.filters).clamp(min=FLOOR * 2 * self.hop).log10().transpose(1, 2)


class RowReader(nn.Module):
    """Reads the spectrum of each latent row from the quantizer's rows: a short way for the encoder to learn by."""

    def __init__(self, latent):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(latent, 192, 3, padding=1), nn.GELU(), nn.Conv1d(192, 192, 3, padding=1), nn.GELU(),
            nn.Conv1d(192, RowSpectra.BANDS, 1),
        )  # fmt: skip

    def forward(self, rows):
        return self.layers(rows)


def _slope(x):
    return functional.leaky_relu(x, 0.1)


class PeriodDiscriminator(nn.Module):
    """Sees every period-th sample side by side (arXiv 2010.05646)."""

    def __init__(self, period, width):
        super().__init__()
        self.period = period
        columns = [1, width, 2 * width, 4 * width, 8 * width]
        weighted = nn.utils.parametrizations.weight_norm
        layers = [
            weighted(nn.Conv2d(few, many, (5, 1), (3, 1), padding=(2, 0))) for few, many in zip(columns, columns[1:])
        ]
        self.layers = nn.ModuleList(layers)
        self.layers.append(weighted(nn.Conv2d(columns[-1], 1, (3, 1), padding=(1, 0))))

    def forward(self, samples):
        missing = -samples.shape[1] % self.period
        x = functional.pad(samples[:, None], (0, missing), mode="reflect")
        x, seen = x.unflatten(2, (-1, self.period)), []
        for layer in self.layers:
            x = layer(_slope(x) if seen else x)
            seen.append(x)
        return seen


class SpectrumDiscriminator(nn.Module):
    """Sees a complex spectrum (arXiv 2210.13438)."""

    def __init__(self, window, width):
        super().__init__()
        self.size = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        weighted = nn.utils.parametrizations.weight_norm
        layers = [weighted(nn.Conv2d(2, width, (3, 9), (1, 2), padding=(1, 4)))]
        layers += [weighted(nn.Conv2d(width, width, (3, 9), (1, 2), padding=(1, 4))) for _ in range(2)]
        layers += [weighted(nn.Conv2d(width, width, 3, padding=1)), weighted(nn.Conv2d(width, 1, 3, padding=1))]
        self.layers = nn.ModuleList(layers)

    def forward(self, samples):
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(samples, self.size, self.size // 4, window=self.window, return_complex=True)
            x = torch.view_as_real(spectrum).permute(0, 3, 2, 1).contiguous()
        seen = []
        for layer in self.layers:
            x = layer(_slope(x) if seen else x)
            seen.append(x)
        return seen


class Discriminators(nn.Module):
    def __init__(self, width):
        super().__init__()
        each = [PeriodDiscriminator(period, width) for period in (2, 3, 5, 7, 11)]
        each += [SpectrumDiscriminator(window, width) for window in (512, 1024, 2048)]
        self.each = nn.ModuleList(each)

    # Speech here is quiet, and networks like numbers about 1.
    GAIN = 8.0

    def forward(self, samples):
        """What each sees on its way to its verdict, the last: the higher the more like speech."""
        return [discriminator(self.GAIN * samples) for discriminator in self.each]


def _halves(seen):
    return [[layer.float().chunk(2) for layer in layers] for layers in seen]


def verdict_loss(seen):
    """The discriminators' own, of a batch whose first half is made and whose second is real (arXiv 1611.04076)."""
    return sum(made[-1][0].square().mean() + (1 - made[-1][1]).square().mean() for made in _halves(seen))


def adversarial_losses(seen):
    """The codec's, of such a batch: to be taken for real, and to be seen as the real one is (arXiv 1910.06711)."""
    fooled, alike = 0, 0
    for layers in _halves(seen):
        fooled = fooled + (1 - layers[-1][0]).square().mean()
        for made, real in layers[:-1]:
            alike = alike + functional.l1_loss(made, real.detach()) / len(layers)
    return fooled, alike

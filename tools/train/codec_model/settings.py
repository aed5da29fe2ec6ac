"""The section `codec` of a size's file, sizes/SIZE.yaml, checked before anything is done with it."""

import dataclasses
import math
from dataclasses import dataclass, field

from common.settings import NUMBER, WrongSetting, check, document, parsed

@dataclass(frozen=True)
class Shape:
    """The release's config.json, by its names."""

    sampling_rate: int = 24000
    # Columns behind the encoder's first convolution; each block doubles them, up to the latent rows' width.
    encoder_dim: int = 48
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    # Columns before the decoder's first block; each block halves them.
    decoder_dim: int = 1024
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2)
    codebook_size: int = 4096
    codebook_dim: int = 8
    vq_strides: tuple[int, ...] = (4, 2, 1)
    noise: bool = True

    @property
    def latent(self):
        return self.encoder_dim << len(self.encoder_rates)

    @property
    def hop(self):
        """Samples of a latent row."""
        return math.prod(self.decoder_rates)

    @property
    def frame(self):
        """Samples of a frame: the time of one code of the coarsest level."""
        return self.hop * self.vq_strides[0]

    def config(self):
        """What the release's config.json says: no attention, depthwise convolutions."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return values | {"attn_window_size": None, "depthwise": True}


@dataclass(frozen=True)
class Corpus:
    # Of speech to train on, and sentences that are never trained on.
    minutes: float = 240.0
    held_out: int = 100


@dataclass(frozen=True)
class Fit:
    steps: int = 6000
    # Crops of a step, and frames of each.
    batch: int = 32
    frames: int = 12
    rate: float = 1e-3
    # Of the encoder's and the quantizer's rate: codebooks have to keep up with them.
    encoder_part: float = 0.4
    warmup: int = 200
    # Steps without codes, and crops whose directions the codebooks start from then.
    continuous: int = 200
    start_crops: int = 512
    # Memory of a codebook, and of the averaged weights that are exported, in steps: 1 - 1 / n.
    codebook_memory: int = 30
    average_memory: int = 500
    # The part of the run after which the discriminators join in, their width and their rate; 1 or more for none.
    adversarial: float = 0.4
    discriminator: int = 16
    discriminator_rate: float = 5e-4
    # Windows of the spectral losses.
    windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True)
class Settings:
    network: Shape = field(default_factory=Shape)
    corpus: Corpus = field(default_factory=Corpus)
    fit: Fit = field(default_factory=Fit)


# Where 0 makes sense.
MAY_BE_ZERO = {"warmup", "continuous"}


def _kinds(default):
    """What common.settings checks values against: they are of the default's kind."""
    values = {each.name: getattr(default, each.name) for each in dataclasses.fields(default)}
    kinds = {int: int, float: NUMBER, bool: bool, tuple: [int]}
    return {name: kinds.get(type(value)) or _kinds(value) for name, value in values.items()}


def checked(default, found, place):
    """The defaults, with what was found in their place."""
    check(found, _kinds(default), place, optional=None, may_be_zero=MAY_BE_ZERO)
    return _built(default, found)


def _built(default, found):
    values = {}
    for name, value in found.items():
        old = getattr(default, name)
        values[name] = _built(old, value) if dataclasses.is_dataclass(old) else type(old)(value)
    return dataclasses.replace(default, **values)


def read(sections, file):
    if "codec" not in sections:
        raise WrongSetting(f"{file}: expected a section 'codec', found none")
    found = checked(Settings(), sections["codec"], f"{file}: codec")
    check_shape(found.network, f"{file}: codec.network")
    windows = found.fit.windows
    if any(window & (window - 1) or not 16 <= window <= 4096 for window in windows):
        raise WrongSetting(f"{file}: codec.fit.windows: expected powers of 2 from 16 to 4096, found {list(windows)}")
    # Discriminators hear half of a crop.
    if 2 * max(2048, *windows) > found.fit.frames * found.network.frame:
        raise WrongSetting(f"{file}: codec.fit.frames: crops are shorter than two of the longest windows")
    return found


def check_shape(shape, place):
    """What the release's code and the codec's readers here ask of a shape."""
    if math.prod(shape.encoder_rates) != shape.hop:
        found = list(shape.encoder_rates)
        raise WrongSetting(
            f"{place}.encoder_rates: expected {shape.hop} as the product, as decoder_rates, found {found}"
        )
    if shape.decoder_dim % (1 << len(shape.decoder_rates)):
        part = 1 << len(shape.decoder_rates)
        raise WrongSetting(f"{place}.decoder_dim: expected a multiple of {part}, found {shape.decoder_dim}")
    if any(rate % 2 and rate != 1 for rate in shape.encoder_rates + shape.decoder_rates):
        raise WrongSetting(f"{place}.encoder_rates, decoder_rates: expected even ones")
    strides = shape.vq_strides
    if strides[-1] != 1 or any(coarse % fine for coarse, fine in zip(strides, strides[1:])):
        raise WrongSetting(
            f"{place}.vq_strides: expected each a multiple of the next and the last 1, found {list(strides)}"
        )


def parse(text, file):
    return read(parsed(text, file), file)


def load(size, device="cuda"):
    """The settings of a size, or of a file of such."""
    return read(*document(size, device))

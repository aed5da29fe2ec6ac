"""The dimensions of the released models: a peer's random model is as large as the model that it stands for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """Mini-Omni2's language model: Qwen2-0.5B with a vocabulary of text and seven layers of audio."""

    layers: int = 24
    width: int = 896
    heads: int = 14
    key_heads: int = 2
    head_width: int = 64
    feed_forward: int = 4864
    vocabulary: int = 181_120
    context: int = 2048
    epsilon: float = 1e-6
    rotary_base: float = 1_000_000.0


@dataclass(frozen=True)
class Whisper:
    width: int
    heads: int
    layers: int
    bands: int = 80
    audio_context: int = 1500
    text_context: int = 448
    vocabulary: int = 51_865


LANGUAGE = Language()
WHISPER = {"tiny": Whisper(384, 6, 4), "small": Whisper(768, 12, 12)}
CLIP = {"resolution": 224, "patch": 32, "width": 768, "layers": 12, "heads": 12, "features": 512}
SNAC = {
    "sampling_rate": 24_000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}
# Codes of each of SNAC's levels that a frame of 2048 samples has.
SNAC_CODES = [1, 2, 4]
SNAC_FRAME = 2048

# The position of a measured step, and the columns of a measured prompt: 3 s of speech.
STEP_POSITION = 300
PROMPT_COLUMNS = 155

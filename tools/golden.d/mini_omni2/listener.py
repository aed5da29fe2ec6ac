"""What the listener's row says of a sound (paper, section 3.4): a row of the language model that reads the codec's codes of
what is heard, a frame a column, and says at each whether a command has been spoken.

No code of it was released; this is the project's reading. The row begins with a column of pads and the text `n-irq`; a
frame's column has its seven codes, layer by layer and without delay, over the text `pad`. Its state is the softmax over the
text ids `irq` and `n-irq` alone. The row is begun anew every AGAIN frames, with the last AGAIN of them read again, so that
each frame is judged with AGAIN to 2 AGAIN - 1 frames before it, as far as there are.
"""

import numpy as np
import torch
from safetensors.torch import save_file

from . import goldens, inputs
from .language import LAYERS

SEED, FRAMES = 54, 80  # of the sound; its codes have wide margins
AGAIN = 24
MARGIN = 5e-4  # between the nearest and the second code, so that rounding decides nothing


def states(config):
    """The text ids behind the release's own."""
    return {"irq": config.text["asr"] + 1, "n-irq": config.text["asr"] + 2}


def columns(config, frames):
    """Ids [8, 1 + frames] of a row that reads these frames, [frames, 7]."""
    audio = [[config.audio["pad"], *codes] for codes in frames.T.tolist()]
    audio = [[config.shifted(local, layer) for local in row] for layer, row in enumerate(audio)]
    return torch.tensor([*audio, [states(config)["n-irq"]] + [config.text["pad"]] * len(frames)])


@torch.no_grad()
def logits(language, frames):
    """Of `irq` and `n-irq` at every frame, [frames, 2]."""
    ids, said = list(states(language.config).values()), []
    for first in range(0, len(frames), AGAIN):
        past = None
        x = language.embed(columns(language.config, frames[first : first + 2 * AGAIN]))
        for column in range(len(x)):
            state, past = language(x[None, column : column + 1], past)
            if column > 0 and first + column - 1 == len(said):
                said.append(language.lm_head(state[0])[ids])
    return torch.stack(said)


@torch.no_grad()
def frames_of(codec, samples):
    """The codes of a sound, [frames, 7] in the order of the audio layers."""
    audio = torch.from_numpy(samples.astype(np.float32) / 32768)[None, None]
    assert goldens.code_margin(codec, codec.encoder(codec.preprocess(audio))) > MARGIN, "another sound, please"
    coarse, middle, fine = (level[0] for level in codec.encode(audio))
    return torch.stack([coarse, middle[::2], fine[::4], fine[1::4], middle[1::2], fine[2::4], fine[3::4]], dim=1)


def write(folder, models=None):
    """Writes `listener.safetensors` beside the checkpoint of a folder of goldens."""
    torch.set_num_threads(1)
    models = models or goldens.Models(folder / "checkpoint")
    frames = frames_of(models.snac, inputs.speech(SEED, FRAMES * 2048))  # as if at 24 kHz
    assert frames.shape == (FRAMES, LAYERS)
    tensors = {"codes": frames.int().contiguous(), "logits": logits(models.language, frames)}
    tensors["probabilities"] = tensors["logits"].softmax(1)[:, 0].contiguous()
    save_file(tensors, folder / "listener.safetensors")

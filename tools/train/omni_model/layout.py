"""Batches as the language model reads them: the prompts of docs/mini-omni2.md and the answers behind them.

A row's answer: text from its first position on, then its end; layer i's code of frame f at position f + i + 1, then that
layer's end. Positions are those of what is put out; what is fed at a position is what was put out one before.
"""

from dataclasses import dataclass

import torch
from mini_omni2.tasks import IMAGE_TOKENS
from torch.nn import functional

from .network import LAYERS

IGNORED = -100
SEEN = IMAGE_TOKENS + 2  # columns of a picture, with the marks at both ends


@dataclass
class Batch:
    """Rows of one kind: all with a picture or none. What a row lacks has length 0."""

    last_audio: torch.Tensor  # [batch], local ids of the prompt's last column
    last_text: torch.Tensor  # [batch]
    answer: torch.Tensor  # [batch, most] ids
    answer_length: torch.Tensor
    speech: torch.Tensor | None = None  # [batch, most, features]
    speech_length: torch.Tensor | None = None
    image: torch.Tensor | None = None  # [batch, 50, features]
    question: torch.Tensor | None = None  # [batch, most] ids
    question_length: torch.Tensor | None = None
    # Of the first rows, which speak: [speaking, most, 7] codes in the order of the layers.
    codes: torch.Tensor | None = None
    frames: torch.Tensor | None = None
    # In which frames each token of the answer is said, from and to, if that is known [speaking, any, 2].
    spans: torch.Tensor | None = None
    # What is fed in their place, if not they themselves.
    fed_codes: torch.Tensor | None = None
    # Which of the rows that speak are given their text, and need not write it [speaking].
    given: torch.Tensor | None = None
    # So many rows, one behind the other, have the same picture.
    alike: int = 1
    # Where in the picture that is which a question and its answer name: shares of the image's tokens, which sum to 1, or to 0
    # where nothing is asked about the picture [batch, 2, 50].
    named: torch.Tensor | None = None

    @property
    def size(self):
        return len(self.last_audio)

    @property
    def speaking(self):
        return 0 if self.codes is None else len(self.codes)

    @property
    def steps(self):
        """Positions of the longest answer."""
        most = self.answer.shape[1] + 1
        return most if self.codes is None else max(most, self.codes.shape[1] + LAYERS + 1)


def _lengths(batch, value):
    return torch.zeros(batch.size, dtype=torch.long, device=batch.last_audio.device) if value is None else value


def prompts(config, batch, columns=None):
    """Ids of the prompts: audio (local ids, the same in all layers) and text [batch, columns], and each row's length."""
    heard, read = _lengths(batch, batch.speech_length), _lengths(batch, batch.question_length)
    device, sees = heard.device, batch.image is not None
    a, t = config.audio, config.text
    first, body = (SEEN if sees else 0), heard + read
    asked = body > 0
    length = first + torch.where(asked, body + 3, 1)
    columns = columns or int(length.max())
    place = torch.arange(columns, device=device)[None].expand(batch.size, -1)
    audio, text = torch.full_like(place, a["pad"]), torch.full_like(place, t["pad"])
    begin = (place == first) & asked[:, None]
    end = (place == first + body[:, None] + 1) & asked[:, None]
    hears = (heard > 0)[:, None]
    audio = audio.masked_fill(begin & hears, a["input"]).masked_fill(end & hears, a["eoa"])
    # With a picture, the text of a spoken question says nothing.
    says = ~hears if sees else torch.ones_like(hears)
    text = text.masked_fill(begin & says, t["input"]).masked_fill(end & says, t["eot"])
    if sees:
        audio[:, 0], audio[:, SEEN - 1] = a["image"], a["eoimage"]
    if batch.question is not None:
        index = place - first - 1
        inside = (index >= 0) & (index < read[:, None])
        words = batch.question.gather(1, index.clamp(0, batch.question.shape[1] - 1)).to(text.dtype)
        text = torch.where(inside, words, text)
    last = place == length[:, None] - 1
    audio = torch.where(last, batch.last_audio[:, None], audio)
    text = torch.where(last, batch.last_text[:, None], text)
    return audio, text, length


def written(config, batch):
    """The answers' text by position [batch, steps]: as it is fed on, and as it is wanted (IGNORED behind its end, and where it is
    given)."""
    place = torch.arange(batch.steps, device=batch.answer.device)[None]
    length = batch.answer_length[:, None]
    ids = functional.pad(batch.answer.long(), (0, batch.steps - batch.answer.shape[1]))
    fed = torch.where(place < length, ids, torch.where(place == length, config.text["eot"], config.text["pad"]))
    wanted = torch.where(place <= length, fed, IGNORED)
    if batch.given is not None:
        given = functional.pad(batch.given, (0, batch.size - batch.speaking))
        wanted = wanted.masked_fill(given[:, None], IGNORED)
    return fed, wanted


def delayed(config, codes, frames, steps):
    """Codes [rows, most, 7] as the layers' tokens by position [rows, 7, steps], and those that are wanted."""
    rows, most, _ = codes.shape
    place = torch.arange(steps, device=codes.device)[None, None]
    frame = place - 1 - torch.arange(LAYERS, device=codes.device)[None, :, None]
    index = frame.clamp(0, most - 1).expand(rows, -1, -1)
    found = codes.transpose(1, 2).long().gather(2, index)
    count = frames[:, None, None]
    pad, eoa = config.audio["pad"], config.audio["eoa"]
    tokens = torch.where((frame >= 0) & (frame < count), found, torch.where(frame == count, eoa, pad))
    # The last layer's end ends the answer.
    return tokens, torch.where(place <= count + LAYERS, tokens, IGNORED)


def undelayed(tokens, frames):
    """The way back, of one row: tokens [7, steps] to codes [frames, 7]."""
    return torch.stack([tokens[layer, layer + 1 : layer + 1 + frames] for layer in range(LAYERS)], dim=1)


def embedded(model, batch, fed_text, fed_audio):
    """The inputs [batch, columns, n_embd] of prompts and of what is fed behind them, and the prompts' lengths.

    fed_text [batch, steps]; fed_audio [speaking, 7, steps], for the first rows; the others are fed pads.
    """
    config, table = model.config, model.transformer["wte"].weight
    steps = fed_text.shape[1]
    heard = batch.speech.shape[1] if batch.speech is not None else 0
    read = batch.question.shape[1] if batch.question is not None else 0
    columns = (SEEN if batch.image is not None else 0) + max(heard, read) + 3 + steps
    audio, text, length = prompts(config, batch, columns)
    layers = table[config.text_vocab_size :].view(LAYERS, config.audio_vocab_size, -1)
    codes = config.audio["eoa"]  # the first id that is no code
    marks = layers[:, codes : codes + 8].sum(0)
    # A product, as its gradient is one too: most columns hold the same few marks.
    sound = _laid(functional.one_hot(audio - codes, 8).to(marks.dtype) @ marks, model, batch)
    # What is fed: put behind each row's own prompt.
    place = torch.arange(columns, device=text.device)[None] - length[:, None]
    behind = (place >= 0) & (place < steps)
    index = place.clamp(0, steps - 1)
    text = torch.where(behind, fed_text.gather(1, index), text)
    if fed_audio is not None:
        rows = len(fed_audio)
        shift = config.audio_vocab_size * torch.arange(LAYERS, device=text.device)
        ids = config.text_vocab_size + shift + fed_audio.transpose(1, 2)
        spoken = functional.embedding_bag(ids.flatten(0, 1), table, mode="sum").view(rows, steps, -1)
        spoken = spoken.gather(1, index[:rows, :, None].expand(-1, -1, spoken.shape[-1]))
        first = torch.where(behind[:rows, :, None], spoken.to(sound.dtype), sound[:rows])
        sound = torch.cat([first, sound[rows:]])
    return (sound + functional.embedding(text, table)) / (LAYERS + 1), length


def _laid(sound, model, batch):
    """Features in the place of what the seven layers say."""
    columns = sound.shape[1]

    def over(sound, values, lengths, first):
        inside = torch.arange(columns, device=sound.device)[None] - first
        inside = (inside >= 0) & (inside < lengths[:, None])
        values = functional.pad(values, (0, 0, first, columns - first - values.shape[1]))
        return torch.where(inside[..., None], LAYERS * values.to(sound.dtype), sound)

    if batch.image is not None:
        seen = torch.full((batch.size,), IMAGE_TOKENS, device=sound.device)
        sound = over(sound, model.vision_adapter(batch.image), seen, 1)
    if batch.speech is not None:
        # With a picture the speech begins where its mark stands, and leaves the last of its own columns a pad.
        first = SEEN if batch.image is not None else 1
        sound = over(sound, model.whisper_adapter(batch.speech), batch.speech_length, first)
    return sound


def places(length, steps):
    """The columns [batch, steps] from which position 0 on is put out; the last that is fed decides nothing."""
    return length[:, None] - 1 + torch.arange(steps, device=length.device)


def answered(model, batch, fed_text, fed_audio):
    """States [batch, steps, n_embd] from which position 0 on is put out."""
    x, length = embedded(model, batch, fed_text, fed_audio)
    return picked(model.hidden(x), places(length, fed_text.shape[1]))


def picked(states, columns):
    """Of each row's states [rows, any, n_embd] those of its columns [rows, count]."""
    return states.gather(1, columns[..., None].expand(-1, -1, states.shape[-1]))

"""Mini-Omni2's tasks: the eight rows of ids that each begins with, and the greedy loops that answer.

A prompt is int32 [8, columns] of global ids: rows 0 to 6 are the audio layers, row 7 is text.
"""

from dataclasses import dataclass, field

import torch

from .language import LAYERS

IMAGE_TOKENS = 50  # CLIP's class token and 7 x 7 patches


def prompt(config, audio, text):
    rows = [[config.shifted(token, layer) for token in audio] for layer in range(LAYERS)]
    return torch.tensor(rows + [text], dtype=torch.int32)


def spoken(config, frames, last_audio, last_text):
    """A spoken question of `frames` features; the last column says what is wanted."""
    a, t = config.audio, config.text
    audio = [a["input"]] + [a["pad"]] * frames + [a["eoa"], a[last_audio]]
    return prompt(config, audio, [t["input"]] + [t["pad"]] * frames + [t["eot"], t[last_text]])


def written(config, ids, last_audio):
    a, t = config.audio, config.text
    return prompt(config, [a["pad"]] * (len(ids) + 2) + [a[last_audio]], [t["input"], *ids, t["eot"], t["answer"]])


def pictured(config, frames, last_audio):
    """A picture and a spoken question about it. Text says nothing but pad until the answer."""
    a, t = config.audio, config.text
    audio = [a["image"]] + [a["pad"]] * IMAGE_TOKENS + [a["eoimage"], a["input"]]
    audio += [a["pad"]] * frames + [a["eoa"], a[last_audio]]
    return prompt(config, audio, [t["pad"]] * (IMAGE_TOKENS + frames + 4) + [t["answer"]])


def pictured_written(config, ids):
    """A picture and a written question. The release has the task without a prompt: this one is ours, made like the others."""
    a, t = config.audio, config.text
    audio = [a["image"]] + [a["pad"]] * IMAGE_TOKENS + [a["eoimage"]] + [a["pad"]] * (len(ids) + 3)
    return prompt(config, audio, [t["pad"]] * (IMAGE_TOKENS + 2) + [t["input"], *ids, t["eot"], t["answer"]])


def caption(config):
    """A picture to be described. The release has the task without a prompt: this one is ours, made like the others."""
    a, t = config.audio, config.text
    audio = [a["image"]] + [a["pad"]] * IMAGE_TOKENS + [a["eoimage"], a["pad"]]
    return prompt(config, audio, [t["pad"]] * (IMAGE_TOKENS + 2) + [t["answer"]])


def speech_features(features):
    return [(1, features)]


def image_features(image, speech=None):
    # With a picture the speech starts at column 52, where input_a stands: it takes that column and leaves the last of
    # its own a pad. The released model answers so, and was trained so as far as is known.
    return [(1, image)] + ([] if speech is None else [(IMAGE_TOKENS + 2, speech)])


@dataclass
class Answer:
    """What a greedy loop made, and how close it came to another answer.

    `tokens` are local ids, one column a step: int32 [8, steps] (audio, then text as it was fed back), or [1, steps] where
    only text is made. The last column is the one that ended the answer; it is not part of it.
    """

    tokens: list = field(default_factory=list)
    ended: str = "limit"
    margin: float = float("inf")  # least distance between the two best of any logits that chose a token

    def choose(self, logits):
        best = logits.topk(2).values
        self.margin = min(self.margin, (best[..., 0] - best[..., 1]).min().item())
        return logits.argmax(-1).tolist()

    @property
    def matrix(self):
        return torch.tensor(self.tokens, dtype=torch.int32).T.contiguous()


def column(config, audio, text):
    """One step's input ids; without audio tokens the seven layers are padded."""
    audio = [config.audio["pad"]] * LAYERS if audio is None else audio
    return prompt_column(config, audio, text)


def prompt_column(config, audio, text):
    rows = [[config.shifted(token, layer)] for layer, token in enumerate(audio)]
    return torch.tensor(rows + [[text]], dtype=torch.int32)


@torch.no_grad()
def answer_in_speech(model, speech, text, features=(), limit=None):
    """Two rows at once: audio tokens from the first, the text of both from the second. `text` of None is one row for both
    (T1A2). At most `limit` columns, prompt included.
    """
    config, answer = model.config, Answer()
    rows = [speech] if text is None else [speech, text]
    limit = limit or config.block_size
    x = torch.stack([model.embed(row, features) for row in rows])
    past, text_ended = None, False
    for _ in range(limit - speech.shape[1]):
        states, past = model(x, past)
        _, audio_logits = model.heads(states[0])
        text_logits, _ = model.heads(states[-1])
        audio = answer.choose(audio_logits)
        written = config.text["pad"] if text_ended else answer.choose(text_logits)
        answer.tokens.append([*audio, written])
        if audio[-1] == config.audio["eoa"]:
            answer.ended = "eoa"
            break
        text_ended = text_ended or written == config.text["eot"]
        inputs = [column(config, audio, written)] + ([] if text is None else [column(config, None, written)])
        x = torch.stack([model.embed(ids) for ids in inputs])
    return answer


@torch.no_grad()
def answer_in_text(model, ids, features=(), limit=None):
    config, answer = model.config, Answer()
    x, past = model.embed(ids, features)[None], None
    for _ in range((limit or config.block_size) - ids.shape[1]):
        states, past = model(x, past)
        written = answer.choose(model.heads(states[0])[0])
        answer.tokens.append([written])
        if written == config.text["eot"]:
            answer.ended = "eot"
            break
        x = model.embed(column(config, None, written))[None]
    return answer


def frames(answer):
    """The codes of the whole frames [7, frames]: layer i is i + 1 steps late, and the column that ended counts for none."""
    kept = answer.matrix[:LAYERS, :-1] if answer.ended == "eoa" else answer.matrix[:LAYERS]
    count = max(0, kept.shape[1] - LAYERS)
    return torch.stack([kept[i, i + 1 : i + 1 + count] for i in range(LAYERS)])


def codes(frames):
    """SNAC's three levels, coarse to fine, [1, n], [1, 2 n], [1, 4 n], of frames [7, n]."""
    levels = ((0,), (1, 4), (2, 3, 5, 6))
    return [frames[list(rows)].T.reshape(1, -1).long() for rows in levels]

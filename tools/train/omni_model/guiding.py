"""Where the language model looks while it answers: at the word that it says, and at what it is asked about.

That its audio layers read the text is what it learns last, and from few sentences hardly at all: to know an answer's codes by
its question is easier. So some heads of one layer are told where to look: guided attention (Tachibana, Uenoyama and Aihara
2017, arXiv 1710.08969), beside the text rather than on its diagonal alone, as columns hold other things too. Where it is not known
in which frames a word is said, speech is taken to go through a text's characters evenly, which for one voice is nearly so.

Of a picture's patches, too, some heads are told which to look at (as in Qiao, Dong and Xu 2018, arXiv 1709.06308, who took
people's attention): from right and wrong answers alone a small model takes long to learn that it must look anywhere.
"""

import torch
from torch.nn import functional

from .layout import IGNORED, IMAGE_TOKENS, Batch

# Frames that a head's word lies behind the frame that a position begins: the seven layers say seven frames there.
BEHIND = (0, 4)
SPREAD = 4.0  # characters, of what counts as near
LEAST = 1e-3


class Reading:
    """At the word that is said. weight: of its loss, of each batch that speaks; tokenizer: of the answers."""

    name = "guided"

    def __init__(self, model, tokenizer, weight, device):
        self.weight, config = weight, model.config
        # One that has others below it and above it, of those that learn to speak.
        first = model.understanding if model.speaking else 0
        self.layer = (first + config.n_layer - 1) // 2
        self.layers = (self.layer,)
        widths = [len(tokenizer.decode([number])) for number in range(config.text_vocab_size)]
        self.widths = torch.tensor(widths, dtype=torch.float32, device=device)

    def suits(self, batch):
        return isinstance(batch, Batch) and batch.codes is not None

    def near(self, batch, behind):
        """Of the rows that speak, how near each token of the answer is to what is said at each position, from 1 to 0
        [rows, steps, tokens]; and at which positions something is [rows, steps]."""
        frame = torch.arange(batch.steps, device=batch.answer.device)[None] - 1 - behind
        says = (frame >= 0) & (frame < batch.frames[:, None])
        if batch.spans is not None:
            spans, most = batch.spans, batch.answer.shape[1]
            spans = functional.pad(spans, (0, 0, 0, max(0, most - spans.shape[1])))[:, None, :most]
            return ((frame[..., None] >= spans[..., 0]) & (frame[..., None] < spans[..., 1])).float(), says
        ids, length = batch.answer[: batch.speaking].long(), batch.answer_length[: batch.speaking, None]
        inside = torch.arange(ids.shape[1], device=ids.device)[None] < length
        widths = self.widths[ids] * inside
        ends = widths.cumsum(1)
        place = (frame + 0.5) / batch.frames[:, None] * ends[:, -1:]
        away = (ends - widths / 2)[:, None] - place[..., None]
        return torch.exp(-0.5 * (away / SPREAD).square()) * inside[:, None], says

    def loss(self, batch, asked, seen):
        """asked, seen: as losses.Laid has the columns of heads, and losses.together queries and keys."""
        rows, most = batch.speaking, batch.answer.shape[1]
        columns, (q, k) = asked["audio"][0][:rows], seen[self.layer]
        steps = columns.shape[1]
        words = columns[:, :1] + 1 + torch.arange(most, device=columns.device)
        total = 0
        for head, behind in enumerate(BEHIND):
            shares = _shares(q[:rows, head], k[:rows, head], columns)
            near, says = self.near(batch, behind)
            seen = (shares.gather(2, words[:, None].expand(-1, steps, -1)) * near).sum(2)
            total = total - ((seen + LEAST).log() * says).sum() / says.sum().clamp_min(1)
        return total / len(BEHIND)


class Looking:
    """At what a question names, and, in a layer above, at what its answer does. weight: of its loss, of each batch that is asked
    about pictures."""

    name = "looking"

    def __init__(self, model, weight):
        self.weight = weight
        self.layers = (model.understanding // 3, 2 * model.understanding // 3)

    def suits(self, batch):
        return isinstance(batch, Batch) and batch.named is not None

    def loss(self, batch, asked, seen):
        """How far attention, from where the answer is written, is from where it should be (Kullback and Leibler), the mean of
        both layers. asked, seen: as losses.Laid has the columns of heads, and losses.together queries and keys."""
        columns, wanted = asked["text"]
        total = 0
        for layer, named in zip(self.layers, batch.named.transpose(0, 1)):
            q, k = (part[:, 0] for part in seen[layer])
            shares = _shares(q, k, columns)[..., 1 : 1 + IMAGE_TOKENS]
            named = named[:, None]
            away = (torch.xlogy(named, named) - named * (shares + LEAST).log()).sum(2)
            counts = (wanted != IGNORED) * named.sum(2)
            total = total + (away * counts).sum() / counts.sum().clamp_min(1)
        return total / len(self.layers)


def _shares(q, k, columns):
    """Of one head, q and k [rows, columns, size], the attention that `columns` [rows, steps] give to each [rows, steps, columns]."""
    asking = q.gather(1, columns[..., None].expand(-1, -1, q.shape[2])).float()
    later = torch.arange(k.shape[1], device=columns.device)[None, None] > columns[..., None]
    scores = asking @ k.float().transpose(1, 2) * q.shape[2] ** -0.5
    return scores.masked_fill(later, -torch.inf).softmax(2)

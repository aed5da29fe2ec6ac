"""Where the language model looks while it speaks: at the word that it says.

That its audio layers read the text is what it learns last, and from few sentences hardly at all: to know an answer's codes by
its question is easier. So some heads of one layer are told where to look: guided attention (Tachibana, Uenoyama and Aihara
2017, arXiv 1710.08969), beside the text rather than on its diagonal alone, as columns hold other things too. Speech is taken
to go through a text's characters evenly, which for one voice is nearly so.
"""

import torch

# Frames that a head's word lies behind the frame that a position begins: the seven layers say seven frames there.
BEHIND = (0, 4)
SPREAD = 4.0  # characters, of what counts as near
LEAST = 1e-3


class Guide:
    """weight: of its loss, of each batch that speaks; tokenizer: of the answers."""

    def __init__(self, model, tokenizer, weight, device):
        self.weight, config = weight, model.config
        # One that has others below it and above it, of those that learn to speak.
        first = model.understanding if model.speaking else 0
        self.layer = (first + config.n_layer - 1) // 2
        widths = [len(tokenizer.decode([number])) for number in range(config.text_vocab_size)]
        self.widths = torch.tensor(widths, dtype=torch.float32, device=device)

    def near(self, batch, behind):
        """Of the rows that speak, how near each token of the answer is to what is said at each position, from 1 to 0
        [rows, steps, tokens]; and at which positions something is [rows, steps]."""
        ids, length = batch.answer[: batch.speaking].long(), batch.answer_length[: batch.speaking, None]
        inside = torch.arange(ids.shape[1], device=ids.device)[None] < length
        widths = self.widths[ids] * inside
        ends = widths.cumsum(1)
        frames = batch.frames[:, None]
        frame = torch.arange(batch.steps, device=ids.device)[None] - 1 - behind
        place = (frame + 0.5) / frames * ends[:, -1:]
        away = (ends - widths / 2)[:, None] - place[..., None]
        near = torch.exp(-0.5 * (away / SPREAD).square()) * inside[:, None]
        return near, (frame >= 0) & (frame < frames)

    def loss(self, batch, columns, q, k):
        """q, k [rows, heads, columns, size] of the layer; columns [rows, steps] from which positions are put out."""
        rows, most = batch.speaking, batch.answer.shape[1]
        columns = columns[:rows]
        steps, size = columns.shape[1], q.shape[3]
        words = columns[:, :1] + 1 + torch.arange(most, device=columns.device)
        later = torch.arange(q.shape[2], device=columns.device)[None, None] > columns[..., None]
        total = 0
        for head, behind in enumerate(BEHIND):
            asked = q[:rows, head].gather(1, columns[..., None].expand(-1, -1, size)).float()
            scores = asked @ k[:rows, head].float().transpose(1, 2) * size**-0.5
            shares = scores.masked_fill(later, -torch.inf).softmax(2)
            near, says = self.near(batch, behind)
            seen = (shares.gather(2, words[:, None].expand(-1, steps, -1)) * near).sum(2)
            total = total - ((seen + LEAST).log() * says).sum() / says.sum().clamp_min(1)
        return total / len(BEHIND)

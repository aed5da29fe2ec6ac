"""The likeliest answers, as the release decodes them: what was read is kept, and each step reads one column more."""

import torch
from torch.nn import functional

from . import layout
from .network import LAYERS, Past


@torch.no_grad()
def greedy(model, batch, steps, writers=False):
    """Text ids [rows, steps] as they are fed on, and the layers' tokens [rows, 7, steps] where rows speak. With `writers` the
    batch's first half speaks and its second half, of the same questions, writes for both.
    """
    config, table = model.config, model.transformer["wte"].weight
    rows, device = batch.size // 2 if writers else batch.size, batch.last_audio.device
    text = torch.full((rows, steps), config.text["pad"], device=device)
    audio = torch.full((rows, LAYERS, steps), config.audio["pad"], device=device)
    ended, over = (torch.zeros(rows, dtype=torch.bool, device=device) for _ in range(2))
    shift = config.text_vocab_size + config.audio_vocab_size * torch.arange(LAYERS, device=device)
    # One column is fed behind the prompts, and nothing is made of it.
    x, length = layout.embedded(model, batch, text.new_full((batch.size, 1), config.text["pad"]), None)
    past = Past(x.shape[1] + steps)
    state = layout.picked(model.hidden(x, past), length[:, None] - 1)[:, 0]
    for step in range(steps):
        word = functional.linear(state[-rows:], table[: config.text_vocab_size]).argmax(-1)
        text[:, step] = torch.where(ended, config.text["pad"], word)
        ended |= word == config.text["eot"]
        if writers:
            logits = functional.linear(state[:rows], table[config.text_vocab_size :])
            audio[:, :, step] = logits.unflatten(-1, (LAYERS, -1)).argmax(-1)
            over |= audio[:, -1, step] == config.audio["eoa"]
        if bool((over if writers else ended).all()):
            break
        fed = torch.cat([shift + audio[:, :, step], text[:, step, None]], 1)
        if writers:
            silent = (shift + config.audio["pad"]).expand(rows, -1)
            fed = torch.cat([fed, torch.cat([silent, text[:, step, None]], 1)])
        x = functional.embedding_bag(fed, table, mode="sum") / (LAYERS + 1)
        state = model.following(x, past, length + step)
    return text, audio if writers else None

"""What a step of training costs: batches of several kinds go through the layers together, and each keeps its own loss.

On a device that is fast, a step takes as long as it takes to tell it what to do, and that is told once for all batches.
"""

from dataclasses import dataclass, field

import torch
from torch.nn import functional

from . import layout, listening
from .network import LAYERS, Watched, states

IGNORED = layout.IGNORED
# What the row that listens should say of a command counts so many times: there is little of it.
INTERRUPTS = 3.0


@dataclass
class Laid:
    """A batch as the layers read it [rows, columns, n_embd], and what is asked of which columns: by head, columns
    [rows, count] and what is wanted there [rows, count, ...]. Rows that a head asks nothing of stand last."""

    x: torch.Tensor
    asked: dict = field(default_factory=dict)
    alike: int = 1  # so many rows, one behind the other, have the same picture, and so the same first columns


def laid(model, batch):
    if isinstance(batch, listening.Windows):
        columns = torch.arange(1, batch.wanted.shape[1] + 1, device=batch.wanted.device)
        asked = {"state": (columns.expand(len(batch.wanted), -1), batch.wanted)}
        return Laid(listening.embedded(model, batch.codes), asked)
    fed, wanted = layout.written(model.config, batch)
    tokens = sounds = None
    if batch.codes is not None:
        tokens, sounds = layout.delayed(model.config, batch.codes, batch.frames, batch.steps)
        if batch.fed_codes is not None:
            tokens, _ = layout.delayed(model.config, batch.fed_codes, batch.frames, batch.steps)
    x, length = layout.embedded(model, batch, fed, tokens)
    columns, words = layout.places(length, batch.steps), batch.answer.shape[1] + 1
    found = Laid(x, {"text": (columns[:, :words], wanted[:, :words])}, batch.alike)
    if sounds is not None:
        found.asked["audio"] = (columns[: batch.speaking], sounds.transpose(1, 2))
    return found


def together(model, inputs, waste, layers=(), alike=()):
    """States of each of the inputs [rows, columns, n_embd], and queries and keys by layer, of those of `layers`. Those inputs pass
    the model together whose columns need at most `waste` times their number of padding. alike: of each input how many rows have
    the same picture, which pass by themselves where that is more than one."""
    groups, found, seen = [], [None] * len(inputs), [{} for _ in inputs]
    for number, times in enumerate(alike):
        if times > 1:
            watched = Watched(layers)
            found[number] = model.hidden_of_shared(inputs[number], layout.SEEN, times, watched)
            seen[number] = watched.kept
    others = [number for number in range(len(inputs)) if found[number] is None]
    for number in sorted(others, key=lambda number: -inputs[number].shape[1]):
        longest = groups[-1][0] if groups else 0
        columns = inputs[number].shape[1]
        if longest > (1 + waste) * columns or not groups:
            groups.append((columns, []))
        groups[-1][1].append(number)
    for longest, members in groups:
        rows = [len(inputs[number]) for number in members]
        parts = [functional.pad(inputs[number], (0, 0, 0, longest - inputs[number].shape[1])) for number in members]
        watched = Watched(layers)
        passed = model.hidden(torch.cat(parts) if len(parts) > 1 else parts[0], watched=watched)
        for number, part in zip(members, passed.split(rows)):
            found[number] = part
        for layer, both in watched.kept.items():
            for number, *each in zip(members, *(part.split(rows) for part in both)):
                seen[number][layer] = each
    return found, seen


def _picked(states, columns):
    """Those of a batch's states [rows, columns, n_embd] of which something is asked, one behind the other."""
    return layout.picked(states[: len(columns)], columns).flatten(0, 1)


def _costs(model, head, picked, wanted):
    """Cross-entropy of each state [count, n_embd] at a head, 0 where nothing is wanted: as `wanted` [count, ...]."""
    config, table = model.config, model.transformer["wte"].weight
    if head == "text":
        logits = functional.linear(picked, table[: config.text_vocab_size])
    elif head == "audio":
        logits = functional.linear(picked, table[config.text_vocab_size :]).unflatten(-1, (LAYERS, -1)).flatten(0, 1)
    else:
        first = states(config)["irq"]
        logits = functional.linear(picked, table[first : first + 2])
    costs = functional.cross_entropy(logits.float(), wanted.flatten(), ignore_index=IGNORED, reduction="none")
    return costs.view_as(wanted)


def changes(model, teacher, batches, passed, waste=0.0):
    """For each batch how far what its silent rows write has come from what `teacher` writes: the mean divergence (Kullback and
    Leibler; as in Learning without Forgetting, Li and Hoiem 2016) of the text head's tokens. None where all rows speak or see. passed:
    the states of the batches."""
    found, silent = [None] * len(batches), []
    with torch.no_grad():
        for number, batch in enumerate(batches):
            # Pictures are what is learned longest: there the teacher has little to say.
            if isinstance(batch, listening.Windows) or batch.image is not None or batch.speaking == batch.size:
                continue
            one = laid(teacher, batch)
            silent.append((number, batch.speaking, one.x[batch.speaking :], *(part[batch.speaking :] for part in one.asked["text"])))
        before, _ = together(teacher, [x for _, _, x, _, _ in silent], waste)
    for (number, speaking, _, columns, wanted), states in zip(silent, before):
        logits = [functional.linear(_picked(of, columns), each.transformer["wte"].weight[: each.config.text_vocab_size])
                  for each, of in ((model, passed[number][speaking:]), (teacher, states))]  # fmt: skip
        after, old = (each.float().log_softmax(-1) for each in logits)
        costs = functional.kl_div(after, old, reduction="none", log_target=True).sum(-1)
        counts = wanted.flatten() != IGNORED
        found[number] = (costs * counts).sum() / counts.sum().clamp_min(1)
    return found


def losses(model, batches, waste=0.0, guides=(), teacher=None, kept=0.0):
    """Of each batch its loss and the parts that are logged. Text, and each audio layer of those that speak, count by their
    mean; a batch's loss is the sum over the eight heads, and what guides add. kept: the weight of what is written otherwise
    than by a teacher."""
    all_laid = [laid(model, batch) for batch in batches]
    alike = [one.alike for one in all_laid]
    passed, seen = together(model, [one.x for one in all_laid], waste, {layer for guide in guides for layer in guide.layers}, alike)
    found = [{} for _ in batches]
    for head in ("text", "audio", "state"):
        asked = [(number, *one.asked[head]) for number, one in enumerate(all_laid) if head in one.asked]
        if not asked:
            continue
        picked = torch.cat([_picked(passed[number], columns) for number, columns, _ in asked])
        wanted = [each.flatten(0, 1) for _, _, each in asked]
        costs = _costs(model, head, picked, torch.cat(wanted))
        for (number, _, _), one, cost in zip(asked, wanted, costs.split([len(each) for each in wanted])):
            counts = (one != IGNORED).float()
            if head == "state":
                counts = counts + (INTERRUPTS - 1) * (one == listening.INTERRUPTS)
            found[number][head] = (cost * counts).sum() / counts.sum().clamp_min(1)
    weights = {"audio": LAYERS, "changed": kept}
    for parts, changed in zip(found, changes(model, teacher, batches, passed, waste) if teacher else ()):
        if changed is not None:
            parts["changed"] = changed
    for guide in guides:
        weights[guide.name] = guide.weight
        for number, one in enumerate(all_laid):
            if guide.suits(batches[number]):
                found[number][guide.name] = guide.loss(batches[number], one.asked, seen[number])
    sums = [sum(weights.get(name, 1) * value for name, value in parts.items()) for parts in found]
    return list(zip(sums, found))

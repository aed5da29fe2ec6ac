"""Finds the seed of the micro checkpoint: the one, of the first COUNT, whose golden answers are all worth having and whose
least margin between the best and the second logit is widest.

    python -m mini_omni2.search COUNT    (in tools/golden.d)
"""

import sys
import tempfile
from pathlib import Path

import torch

from . import checkpoint, goldens, inputs


def judge(models, heard, seen):
    """What is wrong with the answers, and their least margin."""
    wrong, margin, spoken, written = [], float("inf"), [], []
    for name, _, answer, _ in goldens.answer_all(models, heard, seen):
        steps, words = answer.matrix.shape[1], len(goldens.words(models.config, answer))
        margin = min(margin, answer.margin)
        if "limit" not in name and (answer.ended == "limit" or not 8 <= steps <= 80):
            wrong.append(f"{name}: {steps} steps")
        if name.startswith("a1a2."):
            spoken.append(steps), written.append(words)
    early = sum(words < steps - 1 for words, steps in zip(written, spoken))
    if early < 15:
        wrong.append(f"text ends before speech in {early} answers only")
    if min(len(set(spoken)), len(set(written))) < 10:
        wrong.append(f"only {len(set(spoken))} lengths of speech, {len(set(written))} of text")
    return wrong, margin


def search(count):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint.write(folder)
        goldens.write_pictures(folder)
        models = goldens.Models(folder)
        heard = {i: goldens.hear(models, inputs.speech(i)) for i in goldens.SEEDS}
        for seed in range(count):
            checkpoint.SEED, path = seed, folder / "mini-omni2" / "lit_model.pth"
            checkpoint.write_language(path, models.config)
            models.read_language(path)
            seen = {name: goldens.look(models, folder / name) for name in goldens.PICTURES}
            wrong, margin = judge(models, heard, seen)
            print(f"seed {seed}: margin {margin:.6f}, {'; '.join(wrong) or 'good'}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    search(int(sys.argv[1]))

"""Three stages against one joint stage, and against two without the first, at equal time from the same text model and data."""

import dataclasses
import random

from common import report

from . import evaluation, learning
from .pipeline import NotReady, share

# Of the time of each. What is compared is how it is spent, not how long.
ARMS = {
    "three stages": {"stage1": 0.2, "stage2": 0.35, "stage3": 0.45},
    "one joint stage": {"joint": 1.0},
    "stage 3 without stage 1": {"stage2": 0.44, "stage3": 0.56},
}


def compare(work, minutes, most):
    """Trains all of ARMS, `minutes` each, in a folder of their own; writes comparison.md there. most: clips of each test."""
    folder = work.path(f"compare-{minutes:g}")
    folder.mkdir(exist_ok=True)
    if not work.load("text.pt", "text")["done"]:
        raise NotReady("the step 'text' is not finished; run it again to go on")
    if not work.is_published:
        work.needed("codes.pt", "answers")
    share(work.folder, folder)
    found, steps = {}, {}
    given = None
    for arm, shares in ARMS.items():
        skip = [] if "stage1" in shares or "joint" in shares else ["stage1"]
        budgets = {stage: f"{minutes * share:g}" for stage, share in shares.items()}
        own = dataclasses.replace(work, folder=folder, budgets=budgets)
        given = given or learning.load_data(own)
        for stage in shares:
            model = learning.train(own, stage, given, skip, measures=False)
        last = stage if not skip else f"{stage}-without-stage1"
        steps[arm] = own.load(f"{last}.pt", last)["step"]
        tests = learning.load_tests(own, most)
        found[arm] = learning.judged(model.eval(), tests, stage)
    lines = table(found, steps, minutes)
    (folder / "comparison.md").write_text("\n".join(lines) + "\n")
    figures = {
        arm: {name: (evaluation.mean(items), *interval(items)) for name, items in each.items()} for arm, each in found.items()
    }
    report.card(folder, "comparison", {"minutes": minutes, "seed": work.seed, "steps": steps,
                                       "machine": report.machine(work.device), "figures": figures})  # fmt: skip
    print("\n".join(lines), flush=True)


def table(found, steps, minutes):
    """Lines of Markdown. found: by arm and measure, items."""
    arms = list(found)
    lines = [f"| {minutes:g} min each, % (95 %) | {' | '.join(arms)} |", "|---" * (len(arms) + 1) + "|"]
    lines.append("| " + " | ".join(["steps of the last stage", *(str(steps[arm]) for arm in arms)]) + " |")
    for name in next(iter(found.values())):
        cells = []
        for arm in arms:
            low, high = interval(found[arm][name])
            cells.append(f"{100 * evaluation.mean(found[arm][name]):.0f} ({100 * low:.0f} to {100 * high:.0f})")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def interval(items):
    """95 %: Wilson's where every item counts as one, right or wrong; otherwise of means of items drawn again."""
    count = len(items)
    if all(of == 1 for _, of in items):
        share, z = evaluation.mean(items), 1.96
        middle, width = share + z * z / (2 * count), z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
        return max(0.0, (middle - width) / (1 + z * z / count)), min(1.0, (middle + width) / (1 + z * z / count))
    rng = random.Random(1)
    means = sorted(evaluation.mean(rng.choices(items, k=count)) for _ in range(1000))
    return means[25], means[974]

"""Whether a run learned anything: python -m common.falling CARD.json[:FIGURE] ...

Of each card's history, the figure's mean over the first tenth of the steps is compared with that over the last.
"""

import json
import sys
from pathlib import Path


def means(history, figure):
    """Over the first and over the last tenth of the steps. An entry is the mean since the entry before it."""
    entries, before = [], 0
    for entry in history:
        if figure in entry:
            entries.append((before, entry["step"], entry[figure]))
            before = entry["step"]
    if not entries:
        raise ValueError(f"nothing is told of '{figure}'")
    steps = entries[-1][1]

    def mean(low, high):
        inside = [(max(0, min(last, high) - max(first, low)), value) for first, last, value in entries]
        return sum(weight * value for weight, value in inside) / sum(weight for weight, _ in inside)

    return mean(0, steps / 10), mean(0.9 * steps, steps)


def main(arguments):
    failed = []
    for argument in arguments:
        file, _, figure = argument.partition(":")
        try:
            first, last = means(json.loads(Path(file).read_text())["history"], figure or "loss")
        except (OSError, ValueError, KeyError) as error:
            failed.append(f"{file}: {error}")
            continue
        print(f"{Path(file).stem}: {figure or 'loss'} {first:.3f}, at the end {last:.3f}")
        if not last < first:
            failed.append(f"{file}: {figure or 'loss'} did not fall")
    for problem in failed:
        print(problem, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

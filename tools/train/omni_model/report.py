"""What a run leaves beside its weights: curves, and a card that says what was trained on what, where and for how long."""

import json
import math

COLORS = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a"]


def series(history):
    """Figures by name: [(step, value)]."""
    found = {}
    for entry in history:
        for name, value in entry.items():
            if name not in ("step", "measured") and value > 0:
                found.setdefault(name, []).append((entry["step"], value))
    return found


def curves(folder, name, history):
    """NAME.png where there is matplotlib, otherwise NAME.svg."""
    lines = series(history)
    if not lines:
        return
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        (folder / f"{name}.svg").write_text(svg(name, lines))
        return
    figure, axes = pyplot.subplots(figsize=(9, 5))
    for label, points in lines.items():
        axes.plot(*zip(*points), label=label)
    axes.set(title=name, xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(folder / f"{name}.png", dpi=100)
    pyplot.close(figure)


def svg(title, lines, width=900, height=420):
    steps = [step for points in lines.values() for step, _ in points]
    values = [math.log10(value) for points in lines.values() for _, value in points]
    last, low, high = max(steps), min(values), max(values) + 1e-6
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/><text x="60" y="18">{title}</text>']  # fmt: skip
    for value in (low, high):
        y = 30 + (high - value) / (high - low) * (height - 60)
        parts.append(f'<text x="8" y="{y:.0f}">{10**value:.3g}</text>')
    for place, (name, points) in enumerate(lines.items()):
        color = COLORS[place % len(COLORS)]
        path = " ".join(
            f"{60 + step / last * (width - 80):.1f},{30 + (high - math.log10(value)) / (high - low) * (height - 60):.1f}"
            for step, value in points
        )
        parts.append(f'<polyline fill="none" stroke="{color}" points="{path}"/>')
        parts.append(f'<text x="{width - 180}" y="{40 + 15 * place}" fill="{color}">{name}</text>')
    return "\n".join([*parts, f'<text x="{width - 80}" y="{height - 8}">step {last}</text>', "</svg>"])


def card(folder, name, facts):
    """NAME.json, for machines and people."""
    (folder / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")

"""What a run leaves beside its weights: curves, and a card that says what was trained on what, where and for how long."""

import json
import math
import os
import platform

COLORS = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a"]
# Keys of a history's entries that are no figures.
ASIDE = ("step", "seconds", "measured")


def series(history):
    """Figures by name: [(step, value)]."""
    found = {}
    for entry in history:
        for name, value in entry.items():
            if name not in ASIDE:
                found.setdefault(name, []).append((entry["step"], value))
    return found


def card(folder, name, facts):
    """NAME.json, for machines and people."""
    _write(folder / f"{name}.json", (json.dumps(facts, indent=1) + "\n").encode())


def machine(device):
    """What a run card says of where it was made; device: PyTorch's."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "cores": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}


def curves(folder, name, plots):
    """NAME.png where there is matplotlib, otherwise NAME.svg. plots: [(title, {name: [(step, value)]})], one under another."""
    plots = [(title, lines) for title, lines in plots if lines]
    if not plots:
        return
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        _write(folder / f"{name}.svg", svg(plots).encode())
        return
    figure, every = pyplot.subplots(len(plots), figsize=(9, 4 * len(plots)), squeeze=False)
    for axes, (title, lines) in zip(every[:, 0], plots):
        for label, points in lines.items():
            axes.plot(*zip(*points), label=label)
        axes.set(title=title, xlabel="step", yscale="log" if _is_wide(lines) else "linear")
        axes.legend()
    figure.tight_layout()
    figure.savefig(folder / f"{name}.png", dpi=100)
    pyplot.close(figure)


def _is_wide(lines):
    """Whether a logarithmic scale shows more."""
    values = [value for line in lines.values() for _, value in line]
    return min(values) > 0 and max(values) > 4 * min(values)


def svg(plots, width=900, height=320):
    parts = [_plot(title, lines, width, height) for title, lines in plots]
    size = f'width="{width}" height="{height * len(parts)}" font-family="sans-serif" font-size="12"'
    placed = [f'<g transform="translate(0 {height * place})">{part}</g>' for place, part in enumerate(parts)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *placed, "</svg>\n"])


def _plot(title, lines, width, height):
    scale = math.log if _is_wide(lines) else float
    points = [point for line in lines.values() for point in line]
    last = max(step for step, _ in points) or 1
    low, high = (pick(value for _, value in points) for pick in (min, max))
    first, range_ = scale(low), (scale(high) - scale(low)) or 1

    def place(step, value):
        return f"{50 + (width - 60) * step / last:.1f},{height - 30 - (height - 70) * (scale(value) - first) / range_:.1f}"

    shapes = [f'<text x="50" y="18" font-weight="bold">{title}</text>']
    for value in (low, high):
        shapes.append(f'<text x="44" y="{place(0, value).split(",")[1]}" text-anchor="end">{value:.3g}</text>')
    shapes.append(f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">step {last}</text>')
    for index, (name, line) in enumerate(lines.items()):
        color, path = COLORS[index % len(COLORS)], " ".join(place(*point) for point in line)
        shapes.append(f'<polyline fill="none" stroke="{color}" points="{path}"/>')
        shapes.append(f'<text x="{60 + 130 * index}" y="34" fill="{color}">{name}</text>')
    return "\n".join(shapes)


def _write(path, data):
    """Either the old file or the new one is there, whatever happens."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)

"""What a run leaves behind beside its weights: curves.svg, and run.json with its data, steps, time and machine."""

import json
import math
import os
from datetime import datetime, timezone


def _svg(title, lines, width=900, height=320):
    """lines: name to [(step, value)]. A logarithmic scale where all is above zero."""
    points = [point for line in lines.values() for point in line]
    last = max(step for step, _ in points) or 1
    low, high = (pick(value for _, value in points) for pick in (min, max))
    is_log = low > 0 and high > 4 * low

    def height_of(value):
        low_, high_, value_ = (math.log(each) if is_log else each for each in (low, high, value))
        return height - 30 - (height - 70) * (value_ - low_) / ((high_ - low_) or 1)

    colours = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a"]
    shapes = [f'<text x="50" y="18" font-weight="bold">{title}</text>']
    for value in (low, high):
        shapes.append(f'<text x="44" y="{height_of(value):.0f}" text-anchor="end">{value:.3g}</text>')
    shapes.append(f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">step {last}</text>')
    for index, (name, line) in enumerate(lines.items()):
        colour = colours[index % len(colours)]
        path = " ".join(f"{50 + (width - 60) * step / last:.1f},{height_of(value):.1f}" for step, value in line)
        shapes.append(f'<polyline fill="none" stroke="{colour}" points="{path}"/>')
        shapes.append(f'<text x="{60 + 130 * index}" y="34" fill="{colour}">{name}</text>')
    return "\n".join(shapes), height


class RunLog:
    """Prints each line as it comes, so that nothing is lost when a run is cut off."""

    def __init__(self, folder, history):
        self.folder, self.history = folder, history

    def add(self, step, progress, seconds, values, rate=None):
        self.history.append({"step": step, "seconds": round(seconds, 1), **values})
        told = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        speed = f", {rate:.2f} steps/s" if rate else ""
        print(f"{step} ({100 * min(1, progress):.0f} %, {seconds:.0f} s{speed}): {told}", flush=True)

    def card(self, name, **facts):
        facts = {"run": name, "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"), **facts}
        facts["last"] = {key: value for line in self.history for key, value in line.items()}
        self._write("run.json", json.dumps(facts, indent=2) + "\n")
        self.curves()

    def curves(self):
        names = dict.fromkeys(key for line in self.history for key in line if key not in ("step", "seconds"))
        groups = {}
        for name in names:
            line = [(each["step"], each[name]) for each in self.history if name in each]
            # One picture for all levels.
            title = name.rstrip("0123456789").strip()
            groups.setdefault(title, {})[name] = line
        parts, top = [], 0
        for title, lines in groups.items():
            shapes, height = _svg(title, lines)
            parts.append(f'<g transform="translate(0 {top})">{shapes}</g>')
            top += height
        size = f'width="900" height="{top}" font-family="sans-serif" font-size="12"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        self._write(
            "curves.svg", "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
        )

    def _write(self, name, text):
        part = self.folder / f"{name}.part"
        part.write_text(text)
        os.replace(part, self.folder / name)

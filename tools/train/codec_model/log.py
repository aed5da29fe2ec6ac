"""What a run says while it goes on, and leaves behind: curves.png (or .svg), and run.json."""

from datetime import datetime, timezone

from common import report


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
        facts["history"] = self.history
        report.card(self.folder, "run", facts)
        plots = {}
        for figure, line in report.series(self.history).items():
            # One plot for all levels.
            plots.setdefault(figure.rstrip("0123456789").strip(), {})[figure] = line
        report.curves(self.folder, "curves", list(plots.items()))

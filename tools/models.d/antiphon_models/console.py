"""What the user sees: errors, and how far a long task is. Standard output is for answers, so all of it goes to standard
error.
"""

import sys
import time


class Failure(Exception):
    """What went wrong and how to mend it, for the user."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def megabytes(count):
    return f"{count / 1_000_000:.0f}" if count >= 10_000_000 else f"{count / 1_000_000:.1f}"


class Progress:
    """How many of `total` bytes of a file are done: a bar on a terminal, elsewhere a line now and then.

    The rate is that of the last seconds, so that it is soon right after a pause.
    """

    WINDOW = 5  # seconds

    def __init__(self, name, total):
        self.name, self.total = name, total
        self.terminal = sys.stderr.isatty()
        self.every = 0.2 if self.terminal else 10
        self.shown = 0 if self.terminal else time.monotonic()
        self.open = False  # whether a bar stands in the terminal's last line
        self.start(0)

    def start(self, done):
        """Goes on from `done` bytes, which were there before."""
        self.done = done
        self.points = [(time.monotonic(), done)]  # (time, bytes) of the last seconds, oldest first

    def add(self, count):
        self.done += count
        now = time.monotonic()
        if now - self.shown < self.every:
            return
        self.shown = now
        self.points = [point for point in self.points[:-1] if now - point[0] <= self.WINDOW] + self.points[-1:]
        text = self.describe(now)
        self.points.append((now, self.done))
        if self.terminal:
            filled = 24 * self.done // max(1, self.total)
            print(f"\r{self.name:17} [{'#' * filled:24}] {text}\033[K", end="", file=sys.stderr, flush=True)
            self.open = True
        else:
            say(f"{self.name}: {text}")

    def describe(self, now):
        text = f"{100 * self.done // max(1, self.total):3} %  {megabytes(self.done)} of {megabytes(self.total)} MB"
        start, before = self.points[0]
        rate = (self.done - before) / (now - start) if now - start >= 1 else 0  # of less it would be a guess
        if rate <= 0:
            return text
        left = round((self.total - self.done) / rate)
        hours = f"{left // 3600}:{left // 60 % 60:02}" if left >= 3600 else f"{left // 60}"
        return f"{text}  {rate / 1_000_000:.1f} MB/s  {hours}:{left % 60:02} left"

    def close(self):
        """Takes the bar away, so that what is said next has the line for itself."""
        if self.open:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self.open = False

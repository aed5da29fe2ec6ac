"""Reads docs/wire-vectors."""

import os

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "wire-vectors")


def names():
    return sorted(name[:-4] for name in os.listdir(FOLDER) if name.endswith(".hex"))


def read(name):
    """The frames of a message."""
    frames = []
    with open(os.path.join(FOLDER, name + ".hex"), encoding="utf-8") as lines:
        for line in lines:
            words = line.partition("#")[0].split()
            if words == ["frame"]:
                frames.append(b"")
            elif words:
                frames[-1] += bytes(int(word, 16) for word in words)
    return frames

"""Where things lie."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]  # the repository
SIZES = Path(__file__).resolve().parents[1] / "sizes"


def cache():
    """Antiphon's part of the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(folder) / "antiphon"

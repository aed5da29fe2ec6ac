"""Where models lie: a folder each, which appears whole or not at all, with a record that vouches for its files."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from .console import Failure, megabytes, say

RECORD = "antiphon-model.json"


def root():
    if os.environ.get("ANTIPHON_MODELS"):
        return Path(os.environ["ANTIPHON_MODELS"]).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache).absolute() / "antiphon" / "models"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def problem(name, origin, files, thorough=False):
    """Why the model in the cache cannot be used; None when it can. `origin` is what its record must say of where it comes
    from, `files` are the names of its files.
    """
    folder = root() / name
    if not folder.is_dir():
        return "not fetched"
    try:
        record = json.loads((folder / RECORD).read_text())
        if any(record.get(key) != value for key, value in origin.items()):
            return "another version"
        if set(record["files"]) != set(files):
            return "files are missing"
        for file, known in record["files"].items():
            status = os.stat(folder / file)
            if status.st_size != known["size"]:
                return f"{file} has {status.st_size} bytes, expected {known['size']}"
            # An untouched file is not read again: hashing every model at every start would cost a second.
            if (thorough or status.st_mtime_ns != known["mtime_ns"]) and sha256(folder / file) != known["sha256"]:
                return f"{file} has changed since it was fetched"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its record cannot be read ({error})"
    return None


def entry(path, digest=None):
    """What the record says of a file."""
    status = os.stat(path)
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": digest or sha256(path)}


def write_record(folder, origin, files):
    """Vouches for the files, which must be in the folder by now."""
    (folder / RECORD).write_text(json.dumps({**origin, "files": files}, indent=1) + "\n")


@contextlib.contextmanager
def locked():
    """The models' folder, for this process alone."""
    base = root()
    try:
        base.mkdir(parents=True, exist_ok=True)
        lock = open(base / ".lock", "w")
    except OSError as error:
        raise Failure(f"{base}: cannot be written ({error.strerror}); set ANTIPHON_MODELS to a folder that can") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another tools/models that fetches")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield base


def require_room(base, need, what):
    free = shutil.disk_usage(base).free
    if free < need:
        raise Failure(f"{base}: {megabytes(free)} MB free, {megabytes(need)} MB needed {what}")


@contextlib.contextmanager
def disk_failures(base):
    """Turns what goes wrong with files into what the user can do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(f"{base}: the disk is full; make room, or choose another folder") from error
        raise Failure(f"{error.filename or base}: {error.strerror or error}") from error

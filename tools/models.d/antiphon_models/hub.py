"""Models on the Hugging Face hub, or on a mirror that speaks its protocol: which files, at which commit, with which
checksums; and those that are in the hub's cache on this machine already.

Environment, as the hub's own client reads it: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and
HF_HUB_DOWNLOAD_TIMEOUT (seconds without an answer; 30 if not set).
"""

import os
import re
import shutil
import time
import urllib.parse
from pathlib import Path
from typing import NamedTuple, Optional

from . import download, store, web
from .console import Failure, megabytes, say
from .web import Transient, Unreachable

MODELS = {
    "mini-omni2": {
        "about": "Mini-Omni2, an assistant that hears, sees and speaks (MIT)",
        "repository": "gpt-omni/mini-omni2",
        "files": ["lit_model.pth", "small.pt", "ViT-B-32.pt", "tokenizer.json", "model_config.yaml"],
        "with": ["snac_24khz"],
    },
    "snac_24khz": {
        "about": "SNAC 24 kHz, the codec of Mini-Omni2's voice (MIT)",
        "repository": "hubertsiuzdak/snac_24khz",
        "files": ["config.json", "pytorch_model.bin"],
        "with": [],
    },
}
DELAYS = (1, 2, 4, 8, 16)  # seconds before each further try
YES = ("1", "on", "yes", "true")
COMMIT, CHECKSUM = r"[0-9a-f]{40}", r"[0-9a-f]{40}|[0-9a-f]{64}"


class File(NamedTuple):
    """A file of a repository. The checksum is a SHA-256 (large files), a git blob's SHA-1 (small ones), or unknown."""

    name: str
    size: int
    checksum: Optional[str]


class Hub:
    def __init__(self, delays=DELAYS):
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        if web.host(self.endpoint)[0] not in ("http", "https"):
            raise Failure(f"HF_ENDPOINT is {self.endpoint!r}: expected an address that begins with https:// or http://")
        self.token = os.environ.get("HF_TOKEN", "").strip()
        if not re.fullmatch("[!-~]*", self.token):
            raise Failure("HF_TOKEN holds characters that no token has")
        self.offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in YES
        timeout = os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT", "")
        self.timeout = int(timeout) if re.fullmatch("[1-9][0-9]{0,4}", timeout) else 30
        self.delays = delays

    def address(self, repository, commit, name):
        return f"{self.endpoint}/{repository}/resolve/{urllib.parse.quote(commit, safe='')}/{name}"

    def request(self, url, **options):
        """A reply that is no error. Raises Transient for errors that pass."""
        reply = web.request(url, self.timeout, token=self.token, **options)
        if reply.status < 400 or reply.status == 416:
            return reply
        status, headers = reply.status, reply.headers
        reply.close()
        if status in (408, 429) or status >= 500:
            raise Transient(f"the server answers {status}", web.delay(headers))
        if status in (401, 403):
            hint = "the token in HF_TOKEN may not read it" if self.token else "it may need a token in HF_TOKEN"
            raise Failure(
                f"{url}: the server refuses access ({status}): {hint}, or there is no such repository.\n"
                "A repository with conditions has to be accepted on its page first."
            )
        why = headers.get("X-Error-Code", "")
        missing = {"RepoNotFound": "repository", "RevisionNotFound": "revision"}.get(why, "file")
        if status == 404:
            raise Failure(f"{url}: the server has no such {missing} (404). Is HF_ENDPOINT right, and --revision?")
        raise Failure(f"{url}: the server answers {status}")

    def patiently(self, action):
        """What `action` returns, tried again while its errors pass."""
        for wait in (*self.delays, None):
            try:
                return action()
            except Transient as error:
                if wait is None:
                    raise Unreachable(f"{error}; gave up after {len(self.delays) + 1} tries") from error
                self.rest(error, wait)

    def rest(self, error, wait):
        wait = error.delay if error.delay is not None else wait
        say(f"{error}; trying again in {wait} s")
        time.sleep(wait)

    def describe(self, repository, revision, name):
        """The commit that a revision stands for, and one of its files."""
        url = self.address(repository, revision, name)
        # Large files lie elsewhere: what the hub says of them stands in the redirect itself.
        reply = self.patiently(lambda: self.request(url, method="HEAD", final=lambda reply: "X-Linked-Etag" in reply.headers))
        reply.close()
        commit = reply.headers.get("X-Repo-Commit", "")
        checksum = (reply.headers.get("X-Linked-Etag") or reply.headers.get("ETag") or "").strip()
        checksum = checksum[2:] if checksum.startswith("W/") else checksum
        size = reply.headers.get("X-Linked-Size") or reply.headers.get("Content-Length") or ""
        for what, value, form in (
            ("X-Repo-Commit, the commit", commit, COMMIT),
            ("X-Linked-Etag or ETag, the checksum", checksum.strip('"'), CHECKSUM),
            ("X-Linked-Size or Content-Length, the size", size, r"[0-9]{1,15}"),
        ):
            if not re.fullmatch(form, value):
                raise Failure(f"{url}: the answer has no {what} ({value!r}): is HF_ENDPOINT a hub, or a mirror of one?")
        return commit, File(name, int(size), checksum.strip('"'))


# MARK: The hub's cache on this machine


def cache(repository):
    """Where the hub's own client keeps a repository."""
    if os.environ.get("HF_HUB_CACHE"):
        folder = Path(os.environ["HF_HUB_CACHE"])
    elif os.environ.get("HF_HOME"):
        folder = Path(os.environ["HF_HOME"]) / "hub"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = Path(base) / "huggingface" / "hub"
    return folder.expanduser() / f"models--{repository.replace('/', '--')}"


def cached(repository, revision, names):
    """The commit and the files that the cache has of a revision; None unless it has them all."""
    folder = cache(repository)
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    if not re.fullmatch(COMMIT, commit):
        return None
    files = []
    for name in names:
        path = folder / "snapshots" / commit / name
        if not path.is_file():
            return None
        blob = path.resolve().name  # a checksum, where the cache could make symbolic links
        checksum = blob if re.fullmatch(CHECKSUM, blob) else None
        files.append(File(name, path.stat().st_size, checksum))
    return commit, files


# MARK: Fetching


def origin(model, revision="main"):
    """What a model's record must say. Which commit a branch or tag stands for is known only when it is fetched."""
    commit = {"commit": revision} if re.fullmatch(COMMIT, revision) else {}
    return {"repository": model["repository"], **commit}


def fetch(name, base, revision, hub=None):
    """Puts the model into `base`, whose lock the caller holds. What is downloaded of it lies in a folder with a dot before
    its name until all is there, and the next run goes on from it.
    """
    model, hub = MODELS[name], hub or Hub()
    repository = model["repository"]
    commit, files = listing(hub, repository, revision, model["files"])
    partial = base / f".{name}.part"
    partial.mkdir(exist_ok=True)
    there = [base / name, cache(repository) / "snapshots" / commit]
    digests = {file.name: present(file, partial, there, cache(repository) / "blobs") for file in files}
    missing = [file for file in files if digests[file.name] is None]
    left = sum(file.size - download.progress_of(file, partial) for file in missing)
    store.require_room(base, left + (16 << 20), f"to fetch {name}")
    if missing and hub.offline:
        raise Failure(f"{name}: {missing[0].name} in {cache(repository)} is damaged, and HF_HUB_OFFLINE forbids to fetch it")
    if missing:
        say(f"{name}: {megabytes(left)} MB to fetch from {hub.endpoint}/{repository} to {base / name}")
    for file in missing:
        digests[file.name] = download.download(hub, hub.address(repository, commit, file.name), file, partial)
    for path in partial.iterdir():
        if path.name not in digests:
            path.unlink()
    entries = {name: store.entry(partial / name, digest) for name, digest in digests.items()}
    store.write_record(partial, {**origin(model), "commit": commit}, entries)
    replace(partial, base / name, base / f".{name}.old")


def listing(hub, repository, revision, names):
    """The commit and its files: from the hub, or from the cache if that may not be asked or does not answer."""
    known = cached(repository, revision, names)
    if hub.offline:
        if known is None:
            raise Failure(f"HF_HUB_OFFLINE is set, and {cache(repository)} does not hold {', '.join(names)} of {revision}")
        return known
    try:
        commit, first = hub.describe(repository, revision, names[0])
        # All other files are those of the same commit, whatever is published meanwhile.
        return commit, [first] + [hub.describe(repository, commit, name)[1] for name in names[1:]]
    except Unreachable as error:
        if known is None:
            raise
        say(f"{error}\ntaking {repository} from {cache(repository)}")
        return known


def present(file, partial, folders, blobs):
    """The SHA-256 of a file that need not be downloaded, since an earlier run did, or the hub's client; None otherwise."""
    target = partial / file.name
    candidates = [target] + ([blobs / file.checksum] if file.checksum else []) + [folder / file.name for folder in folders]
    for path in candidates:
        if not path.is_file() or path.stat().st_size != file.size:
            continue
        if path != target:
            take(path.resolve(), target)
        if digest := download.verified(target, file.checksum):
            return digest
        target.unlink()
    if target.exists():
        target.unlink()
    return None


def take(path, target):
    """A file that lies elsewhere: by a second name where the file system can, which costs no room."""
    if target.exists():
        target.unlink()
    try:
        os.link(path, target)
    except OSError:
        store.require_room(target.parent, path.stat().st_size, f"to copy {path.name}")
        shutil.copyfile(path, target)


def replace(fresh, target, old):
    """Puts a folder in another's place."""
    shutil.rmtree(old, ignore_errors=True)  # of a run that was killed here
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        os.rename(target, old)
    os.rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)

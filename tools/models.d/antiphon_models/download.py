"""Downloads a file that may take an hour, over connections that may not last as long.

What came so far lies in a file whose name holds the checksum of the whole, so that it is continued only by what belongs to
it. The checksum decides in the end: no server is trusted to have continued the right file.
"""

import hashlib
import os
import re

from . import web
from .console import Failure, Progress, say
from .web import Transient, Unreachable

BLOCK = 1 << 18
GAIN = 1 << 20  # bytes after which a connection that broke was worth the try


def part(file, folder):
    return folder / f".{file.name}.{(file.checksum or '')[:16]}.part"


def progress_of(file, folder):
    """How many bytes of a file earlier runs have downloaded."""
    path = part(file, folder)
    return min(path.stat().st_size, file.size) if path.exists() else 0


def verified(path, checksum):
    """The file's SHA-256 if it has the checksum (SHA-256, or SHA-1 of a git blob; any will do if it is None), else None."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            if checksum and len(checksum) == 40:
                sha1.update(block)
    digest = sha256.hexdigest()
    return digest if checksum in (None, digest, sha1.hexdigest()) else None


def download(hub, url, file, folder):
    """Puts a file into the folder, and returns its SHA-256."""
    path, target = part(file, folder), folder / file.name
    for old in folder.glob(f".{file.name}.*.part"):
        if old != path:
            old.unlink()  # of a version that has been replaced since
    resumed = progress_of(file, folder)
    if resumed:
        say(f"{file.name}: going on at {100 * resumed // file.size} %")
    for again in (True, False):
        pieces = receive(hub, url, file, path)
        if digest := verified(path, file.checksum):
            os.rename(path, target)
            return digest
        path.unlink()
        if not again or not resumed and pieces == 1:
            break
        say(f"{file.name}: put together from pieces, it does not have its checksum; fetching it from the start")
    raise Failure(f"{url}: what came does not have the checksum {file.checksum} that the server gave; nothing of it was kept")


def receive(hub, url, file, path):
    """Goes on until the file at `path` is as long as it should be; how many requests that took."""
    progress = Progress(file.name, file.size)
    failed = pieces = 0
    try:
        with open(path, "ab") as out:
            while out.tell() < file.size:
                before = out.tell()
                pieces += 1
                try:
                    continue_once(hub, url, file, out, progress)
                except (Transient, Unreachable) as error:
                    progress.close()
                    failed = 1 if out.tell() - before >= GAIN else failed + 1
                    if failed > len(hub.delays):
                        raise Failure(
                            f"{url}: {error}; gave up after {failed} tries at {out.tell()} of {file.size} bytes.\n"
                            "Run the command again to go on from there."
                        ) from error
                    hub.rest(error, hub.delays[failed - 1])
            out.truncate(file.size)
            out.flush()
            os.fsync(out.fileno())
        return pieces
    finally:
        progress.close()


def continue_once(hub, url, file, out, progress):
    """One request: appends to `out` until the file is whole. Raises Transient if the connection ends before."""
    start = out.tell()
    reply = hub.request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        if start and reply.status != 206:
            say(f"{file.name}: the server does not continue a file: starting over")
            start = 0
            out.truncate(0)
            out.seek(0)
        if reply.status == 416:
            raise Transient("the server refused to go on")
        check(reply, url, file, start)
        progress.start(start)
        while out.tell() < file.size:
            block = web.read(reply, min(BLOCK, file.size - out.tell()))
            if not block:
                raise Transient(f"{file.name}: the connection was cut at {out.tell()} of {file.size} bytes")
            out.write(block)
            out.flush()  # a run that is killed leaves what it has got
            progress.add(len(block))
    finally:
        reply.close()


def check(reply, url, file, start):
    """Compares what the reply says of itself with what was asked for."""
    if reply.headers.get("Content-Encoding", "identity") != "identity":
        raise Failure(f"{url}: the server sends it compressed, which was not asked for")
    if reply.status == 206:
        found = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]+/([0-9]+|\*)", reply.headers.get("Content-Range", "").strip())
        if not found or int(found[1]) != start or found[2] not in ("*", str(file.size)):
            raise Failure(
                f"{url}: asked for bytes from {start} of {file.size}, the server sends {reply.headers.get('Content-Range')!r}"
            )
    length = reply.headers.get("Content-Length")
    if length is not None and length != str(file.size - start):
        raise Failure(f"{url}: the server sends {length!r} bytes, and said before that it would be {file.size - start}")

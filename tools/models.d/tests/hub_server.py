"""A hub on this machine: the part of its protocol that tools/models speaks, and a second server that holds large files, as
the real one has. Both do wrong what a test tells them to.
"""

import contextlib
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def blob_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        hub = self.server.hub
        hub.requests.append((self.server.name, self.command, self.path, dict(self.headers)))
        if self.server.name == "store":
            return self.send_file(hub.content(self.path.rpartition("/")[2]), body)
        found = re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/(\w+)/([\w.-]+)", self.path)
        content = hub.files.get((found[1], found[3])) if found and found[2] in ("main", COMMIT) else None
        if hub.status:
            return self.send(hub.status.pop(0), {"Retry-After": "0"})
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.send(401)
        if content is None:
            return self.send(404, {"X-Error-Code": "EntryNotFound"})
        commit = {"X-Repo-Commit": COMMIT}
        if found[3] not in hub.large:
            return self.send_file(content, body, {**commit, "ETag": f'"{blob_sha1(content)}"'})
        digest = hub.claimed.get(found[3]) or hashlib.sha256(content).hexdigest()
        size = str(hub.sizes.get(found[3], len(content)))
        place = hub.redirect or f"http://localhost:{hub.store.server_port}/{found[3]}"
        self.send(302, {**commit, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": size, "ETag": '"x"', "Location": place})

    def send(self, status, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_file(self, content, body, headers=None):
        hub = self.server.hub
        fault = hub.faults.pop(0) if body and hub.faults and self.server.name == "store" else {}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and not fault.get("no_range") else 0
        self.send_response(206 if start else 200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start + fault.get('shift', 0)}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return
        content = fault.get("content", content)[start:]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[: fault.get("cut", len(content))])
            self.wfile.flush()
            if "stall" in fault:
                time.sleep(fault["stall"])
        if "cut" in fault:
            self.close_connection = True


class Hub:
    """Serves `files`, {(repository, name): bytes}; those named in `large` by way of the second server."""

    def __init__(self, files, large):
        self.files, self.large = files, large
        self.requests = []  # (server, method, path, headers)
        self.token = None  # asked for, if set
        self.status = []  # answers of the first server to its next requests
        self.claimed = {}  # checksums that it gives out, if not the right ones
        self.sizes = {}  # sizes that it gives out, if not the right ones
        self.redirect = None  # where large files are said to be, if not at the second server
        self.faults = []  # of the second server's next replies: no_range, shift, content, cut, stall
        self.servers = []
        for name in ("hub", "store"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.hub, server.name = self, name
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers.append(server)
        self.hub, self.store = self.servers

    def content(self, name):
        return next(content for (_, file), content in self.files.items() if file == name)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.hub.server_port}"

    def downloads(self, name=""):
        """The ranges that were asked of the second server."""
        return [
            headers.get("Range")
            for server, method, path, headers in self.requests
            if (server, method) == ("store", "GET") and name in path
        ]

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

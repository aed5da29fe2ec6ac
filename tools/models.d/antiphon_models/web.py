"""Requests to a server that may be slow, far away, or not what it says: redirects, time-outs, and which errors pass."""

import email.message
import http.client
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from .console import Failure

MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


class Transient(Exception):
    """What may be gone at the next try, after `delay` seconds if the server said so."""

    def __init__(self, text, delay=None):
        super().__init__(text)
        self.delay = delay


class Unreachable(Failure):
    """Nobody answered at all: not worth another try, unless there was an answer before."""

    delay = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # followed below, where it is seen to that the token stays with its host


_opener = urllib.request.build_opener(_NoRedirects)


def host(url):
    """Scheme, name and port: what a token is for."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise Failure(f"{url!r} is not an address that can be asked ({error})") from error


def request(url, timeout, method="GET", headers=None, token=None, final=lambda reply: False):
    """The reply to a request, after those redirects that are not `final`; its status may be any. Other hosts do not get the
    token.

    Raises Transient, Unreachable or Failure.
    """
    home = host(url)
    for _ in range(MOST_REDIRECTS):
        reply = _once(url, timeout, method, headers or {}, token if host(url) == home else None)
        if reply.status not in REDIRECTS or final(reply):
            return reply
        place = reply.headers.get("Location", "")
        host(place)  # which refuses what cannot be joined
        place = urllib.parse.urljoin(url, place)
        if host(place)[0] not in ("http", "https") or host(url)[0] == "https" != host(place)[0]:
            raise Failure(f"{url}: the server redirects to {place!r}, which is not safe to follow")
        reply.close()
        url = place
    raise Failure(f"{url}: redirected more than {MOST_REDIRECTS} times; is the endpoint set up right?")


def _once(url, timeout, method, headers, token):
    # Without this a server may compress, and sizes and ranges would be those of the compressed bytes.
    headers = {**headers, "Accept-Encoding": "identity", "User-Agent": "antiphon-models"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return _opener.open(urllib.request.Request(url, method=method, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        return error
    except urllib.error.URLError as error:
        raise _failure(url, error.reason) from error
    except ValueError as error:
        raise Failure(f"{url!r} is not an address that can be asked ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _failure(url, error) from error


def _failure(url, reason):
    name = host(url)[1]
    if isinstance(reason, socket.gaierror):
        return Unreachable(f"the host {name} is not known ({reason.strerror}). Is the network up, and HF_ENDPOINT right?")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Failure(
            f"{name}: no secure connection ({reason.verify_message}). Is the clock right, and are the certificates installed?"
        )
    if isinstance(reason, ConnectionRefusedError):
        return Unreachable(f"{name} refuses connections. Is the network up, and HF_ENDPOINT right?")
    return Transient(f"{name}: {said(reason)}")


def said(error):
    """A connection's error in words."""
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def read(reply, count):
    """Up to `count` bytes of a reply's body, as soon as there are any; none at its end."""
    try:
        return reply.read1(count)
    except (OSError, http.client.HTTPException) as error:
        raise Transient(said(error)) from error


def delay(headers: email.message.Message):
    """The seconds that a server asks to wait, at most a minute."""
    value = headers.get("Retry-After", "")
    return min(int(value), 60) if re.fullmatch("[0-9]{1,9}", value) else None

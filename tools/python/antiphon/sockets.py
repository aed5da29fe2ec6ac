"""Sockets as both threads make them: options, keys, and a way to wake a thread that polls."""

from __future__ import annotations

import os
from typing import Optional

import zmq


class Wakeup:
    """Wakes one thread that polls `reader`; may be signalled from any."""

    def __init__(self):
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def signal(self) -> None:
        try:
            os.write(self._writer, b"!")
        except OSError:
            # Full, so that it is awake already, or closed at the end of the run.
            pass

    def drain(self) -> None:
        try:
            while os.read(self.reader, 4096):
                pass
        except OSError:
            pass


class KeyFileError(Exception):
    """A key is not there, or is no secret."""


class Keys:
    """The CURVE keys in a folder: NAME.key of this process, NAME.pub of others."""

    def __init__(self, folder: str, name: str):
        self._folder = folder
        self._secret = self._read(f"{name}.key", "secret")
        self._public = zmq.curve_public(self._secret)

    def _read(self, file: str, prefix: str) -> bytes:
        path = os.path.join(self._folder, file)
        try:
            with open(path, encoding="utf-8") as lines:
                if prefix and os.fstat(lines.fileno()).st_mode & 0o077:
                    raise KeyFileError(f"{path}: others than its owner may read or write it; chmod 600 {path}")
                for line in lines:
                    # No key begins with the # of a comment.
                    words = line.split()
                    if words and not words[0].startswith("#") and (not prefix or words[0] == prefix):
                        return words[1 if prefix else 0].encode()
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}; antiphon keys makes it") from None
        raise KeyFileError(f"{path} holds no key; antiphon keys makes one")

    def secure(self, socket: zmq.Socket, peer: str) -> None:
        """Encrypts what the socket says to the process of that name, and proves who it is."""
        socket.curve_secretkey, socket.curve_publickey = self._secret, self._public
        socket.curve_serverkey = self._read(f"{peer}.pub", "")


def connect(
    context: zmq.Context, address: str, peer: str, keys: Optional[Keys], linger: int, limit: int, heartbeats: bool = True,
    identity: Optional[bytes] = None,
) -> zmq.Socket:
    """A DEALER that keeps trying to reach the address; with an identity it is the same to the peer when it connects again."""
    socket = context.socket(zmq.DEALER)
    if identity:
        socket.identity = identity
    configure(socket, linger, limit, heartbeats)
    socket.reconnect_ivl, socket.reconnect_ivl_max = 20, 500
    if keys and address.startswith("tcp://"):
        keys.secure(socket, peer)
    socket.connect(address)
    return socket


def configure(socket: zmq.Socket, linger: int, limit: int, heartbeats: bool = True) -> None:
    socket.linger, socket.maxmsgsize = linger, limit
    if heartbeats:
        socket.heartbeat_ivl, socket.heartbeat_timeout = 1000, 5000

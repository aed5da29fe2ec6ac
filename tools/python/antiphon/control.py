"""The connection to the coordinator: a thread of its own, so that a node that computes still hears of interruptions."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, Callable, Dict, Optional

import zmq

from . import wire
from .sockets import Keys, Wakeup, connect


class JoinError(Exception):
    """The process could not join a run."""


class ControlThread:
    """Joins the run, takes events to the coordinator and commands from it."""

    #: Seconds without a word after which the coordinator is gone; it speaks twenty times as often, and so do we.
    SILENCE = 10.0
    COORDINATOR = "coordinator"

    def __init__(
        self,
        address: str,
        joining: Dict[str, Any],
        keys: Optional[Keys],
        command: Callable[[str, Dict[str, Any]], None],
        lost: Callable[[str], None],
    ):
        self._address, self._joining, self._keys = address, joining, keys
        self._command, self._lost = command, lost
        self._outgoing: "queue.SimpleQueue[Dict[str, Any]]" = queue.SimpleQueue()
        self._accepted = threading.Event()
        self._acceptance: Dict[str, Any] = {}
        self._wakeup = Wakeup()
        self._stopping = False
        self._context = zmq.Context(1)
        self._parent = os.getppid()
        self._thread = threading.Thread(target=self._run, name="antiphon-control", daemon=True)

    def join(self, timeout: float = 120) -> Dict[str, Any]:
        """Asks to take part until the coordinator answers. Raises JoinError if it refuses or does not."""
        self._thread.start()
        if not self._accepted.wait(timeout):
            raise JoinError(f"no coordinator answered at {self._address}")
        if self._acceptance.get("refusal"):
            raise JoinError(f"the coordinator refused: {self._acceptance['refusal']}")
        return self._acceptance

    def post(self, event: Dict[str, Any]) -> None:
        """May be called from any thread."""
        self._outgoing.put(event)
        self._wakeup.signal()

    def close(self) -> None:
        """Sends what is to be sent, if there is anybody to hear it, and ends the thread."""
        self._stopping = True
        self._wakeup.signal()
        if self._thread.ident:
            self._thread.join()
        self._context.term()

    def _run(self) -> None:
        socket = connect(self._context, self._address, self.COORDINATOR, self._keys, 1000, wire.MAX_CONTROL)
        poller = zmq.Poller()
        poller.register(self._wakeup.reader, zmq.POLLIN)
        poller.register(socket, zmq.POLLIN)
        spoke, heard, lost = 0.0, time.monotonic(), False
        while True:
            now, joined = time.monotonic(), self._accepted.is_set()
            if now - spoke > (0.5 if joined else 0.3):
                spoke = now
                joining = dict(self._joining, clock=time.monotonic_ns())
                self._send(socket, wire.control(wire.ALIVE) if joined else wire.control(wire.JOIN, joining))
            poller.poll(100)
            self._wakeup.drain()
            while True:
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                heard = time.monotonic()
                self._receive(frames[0])
            stopping = self._stopping
            while self._accepted.is_set():
                try:
                    self._send(socket, wire.control(wire.EVENT, self._outgoing.get_nowait()))
                except queue.Empty:
                    break
            if stopping:
                socket.close(linger=0 if lost else None)
                return
            silent = self._accepted.is_set() and time.monotonic() - heard > self.SILENCE
            if not lost and (silent or os.getppid() != self._parent):
                lost = True
                self._lost("the coordinator is gone")

    def _receive(self, frame: bytes) -> None:
        try:
            kind, body = wire.read_control(frame)
        except wire.WireError:
            return
        if kind == wire.ACCEPT and isinstance(body, dict) and not self._accepted.is_set():
            self._acceptance = body
            self._accepted.set()
        elif kind == wire.COMMAND and isinstance(body, dict):
            for name, arguments in body.items():
                if isinstance(arguments, dict):
                    self._command(name, arguments)

    @staticmethod
    def _send(socket: zmq.Socket, data: bytes) -> None:
        try:
            socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            pass

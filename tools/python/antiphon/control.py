"""The connection to the coordinator: a thread of its own, so that a node that computes still hears of interruptions."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional

import zmq

from . import wire
from .sockets import Keys, Wakeup, connect


class JoinError(Exception):
    """The process could not join a run."""


class ControlThread:
    """Joins the run, takes events to the coordinator and commands from it.

    What the socket does not take is kept and offered again. While the coordinator takes nothing, because nobody reads
    the results, a node that would say more is held up.
    """

    #: Seconds without a word after which the coordinator is gone; it speaks twenty times as often, and so do we.
    SILENCE = 10.0
    #: Seconds for which a process that was told to stop goes on offering what it has to say.
    PARTING = 2.0
    COORDINATOR = "coordinator"
    #: Bytes, about, that may wait before nodes are held up.
    ROOM = 4 << 20
    #: Events that a node says on its own thread, as often as it likes; all others are bounded by these.
    HELD_UP = {
        "sessionBegan", "turnBegan", "turnAsked", "interrupt", "turnFailed", "played", "said", "progress", "show", "log",
        "print",
    }

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
        self._outgoing: Deque[Dict[str, Any]] = deque()
        self._waiting = 0
        self._room = threading.Condition()
        self._unlimited = False
        self._accepted = threading.Event()
        self._acceptance: Dict[str, Any] = {}
        self._wakeup = Wakeup()
        self._stopping = False
        #: When the command to stop came.
        self._stopped: Optional[float] = None
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
        """May be called from any thread; waits, for some events, while too much is to be sent."""
        with self._room:
            if not self.HELD_UP.isdisjoint(event):
                self._room.wait_for(lambda: self._unlimited or self._waiting < self.ROOM)
            self._outgoing.append(event)
            self._waiting += _weight(event)
        self._wakeup.signal()

    def close(self) -> None:
        """Sends what is to be sent, if there is anybody to hear it, and ends the thread."""
        self._lift()
        self._stopping = True
        self._wakeup.signal()
        if self._thread.ident:
            self._thread.join()
        self._context.term()

    def _run(self) -> None:
        # Without heartbeats of the library's: a coordinator that takes nothing for a while does not answer them, and its
        # own word, which it gives all the same, tells that it is alive.
        socket = connect(
            self._context, self._address, self.COORDINATOR, self._keys, 1000, wire.MAX_CONTROL, heartbeats=False,
            identity=f"{self._joining['part'][:64]} {self._joining['incarnation']}".encode(),
        )
        poller = zmq.Poller()
        poller.register(self._wakeup.reader, zmq.POLLIN)
        poller.register(socket, zmq.POLLIN)
        spoke, heard, lost = 0.0, time.monotonic(), False
        unsent: Optional[bytes] = None
        while True:
            now, joined = time.monotonic(), self._accepted.is_set()
            if now - spoke > (0.5 if joined else 0.3):
                spoke = now
                joining = dict(self._joining, clock=time.monotonic_ns())
                # If it is not taken now, something else is under way or the next one will be.
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
            unsent = self._flush(socket, unsent) if self._accepted.is_set() else None
            poller.modify(socket, zmq.POLLIN if unsent is None else zmq.POLLIN | zmq.POLLOUT)
            silent = self._accepted.is_set() and time.monotonic() - heard > self.SILENCE
            gone = silent or os.getppid() != self._parent
            parted = self._stopped is not None and time.monotonic() - self._stopped > self.PARTING
            if stopping and (unsent is None or lost or gone or parted):
                socket.close(linger=0 if lost else None)
                return
            if not stopping and not lost and gone:
                lost = True
                self._lift()
                self._lost("the coordinator is gone")

    def _flush(self, socket: zmq.Socket, unsent: Optional[bytes]) -> Optional[bytes]:
        """Sends what the socket takes; returns the message that it did not, which comes first the next time."""
        while True:
            if unsent is None:
                try:
                    event = self._outgoing.popleft()
                except IndexError:
                    return None
                unsent = wire.control(wire.EVENT, event)
                with self._room:
                    self._waiting -= _weight(event)
                    if self._waiting <= self.ROOM // 2:
                        self._room.notify_all()
            if not self._send(socket, unsent):
                return unsent
            unsent = None

    def _lift(self) -> None:
        """From now on nobody is held up."""
        with self._room:
            self._unlimited = True
            self._room.notify_all()

    def _receive(self, frame: bytes) -> None:
        try:
            kind, body = wire.read_control(frame)
        except wire.WireError:
            return
        if kind == wire.ACCEPT and isinstance(body, dict) and not self._accepted.is_set():
            self._acceptance = body
            self._accepted.set()
        elif kind == wire.COMMAND and isinstance(body, dict):
            if "stop" in body:
                self._stopped = self._stopped or time.monotonic()
                self._lift()
            for name, arguments in body.items():
                if isinstance(arguments, dict):
                    self._command(name, arguments)

    @staticmethod
    def _send(socket: zmq.Socket, data: bytes) -> bool:
        """Whether the socket took it."""
        try:
            socket.send(data, zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False


def _weight(event: Dict[str, Any]) -> int:
    """About the bytes that it takes while it waits."""
    return 200 + sum(len(body.get("text", "")) for body in event.values() if isinstance(body.get("text"), str))

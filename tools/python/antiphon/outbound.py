"""The sender's side of an edge: what waits to be written, and how much the far end still takes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Dict, Optional, Tuple

from . import wire
from .mailbox import Edge, Envelope, Stopped
from .records import Record
from .session import Session, Turn

GREETING, READY, REFUSED = "greeting", "ready", "refused"


class EdgeFull(Exception):
    """An edge with policy `fail` was full."""


class EdgeRefused(Exception):
    """The receiver does not take what this process sends."""


class OutboundEdge:
    """Nodes put envelopes in; the wire's thread takes them out.

    With policy `block` and `fail` a value is let in only if there is credit for it, so that an edge holds at most its
    depth, wherever its values are. A policy that drops keeps up to its depth here, beside what the receiver holds.
    """

    def __init__(self, edge: Edge, wake: Callable[[], None]):
        self.edge = edge
        self._wake = wake
        self._changed = threading.Condition()
        self.phase, self._reason = GREETING, ""
        self.credits = 0
        self._queue: Deque[Envelope] = deque()
        self._values = 0
        #: Sessions under way, and whether they have ended; a receiver that was started anew is told of them again.
        self._sessions: Dict[int, Tuple[Session, bool]] = {}
        self._closed = self._close_sent = self._stopped = False
        self.dropped = self.stale = 0

    # The node.

    def send(self, envelope: Envelope) -> bool:
        """Puts a value into the queue, waiting while there is no room; False if its turn was interrupted."""
        with self._changed:
            while True:
                if self._stopped:
                    raise Stopped()
                if self.phase == REFUSED:
                    raise EdgeRefused(f"edge {self.edge.name} was refused by its receiver: {self._reason}")
                if envelope.turn.cut:
                    self.stale += 1
                    return False
                if self.edge.policy in ("drop-oldest", "latest"):
                    limit = 1 if self.edge.policy == "latest" else self.edge.depth
                    while self._values >= limit:
                        self._drop_oldest()
                    break
                # Before the greeting is answered nothing is known of the receiver's room.
                if self._values < self.credits:
                    break
                if self.edge.policy == "fail":
                    raise EdgeFull(f"edge {self.edge.name} is full (depth {self.edge.depth}) and its policy is fail")
                self._changed.wait()
            self._values += 1
            self._queue.append(envelope)
        self._wake()
        return True

    def mark(self, content: int, turn: Turn) -> None:
        """Marks take no room, so they need not wait."""
        with self._changed:
            if content == wire.SESSION_BEGAN:
                self._sessions[turn.session.id] = (turn.session, False)
            elif content == wire.SESSION_ENDED and turn.session.id in self._sessions:
                self._sessions[turn.session.id] = (turn.session, True)
            self._queue.append(Envelope(content, turn))
        self._wake()

    def close(self) -> None:
        with self._changed:
            self._closed = True
        self._wake()

    def _drop_oldest(self) -> None:
        for position, waiting in enumerate(self._queue):
            if waiting.content == wire.VALUE:
                del self._queue[position]
                break
        self._values -= 1
        self.dropped += 1

    # The wire.

    def next(self) -> Optional[Record]:
        """What may be written now."""
        with self._changed:
            if self.phase != READY:
                return None
            if self._queue:
                envelope = self._queue[0]
                if envelope.content == wire.VALUE:
                    if self.credits <= 0:
                        return None
                    self.credits -= 1
                    self._values -= 1
                self._queue.popleft()
                session = envelope.turn.session
                return Record(
                    envelope.content, session.id, envelope.turn.epoch, envelope.sequence, envelope.time,
                    envelope.trace, self.edge.schema, session.name, envelope.value,
                )
            if self._closed and not self._close_sent:
                self._close_sent = True
                return Record(wire.CLOSED)
            return None

    @property
    def drained(self) -> bool:
        """Everything has been written, or there is nobody to write to."""
        with self._changed:
            if self._stopped or self.phase == REFUSED:
                return True
            return not self._queue and (not self._closed or self._close_sent)

    def welcome(self, credits: int) -> None:
        with self._changed:
            self.phase, self.credits = READY, min(credits, self.edge.depth)
            self._changed.notify_all()

    def credit(self, count: int) -> None:
        with self._changed:
            self.credits = min(self.credits + count, self.edge.depth)
            self._changed.notify_all()

    def refuse(self, reason: str) -> None:
        with self._changed:
            self.phase, self._reason = REFUSED, reason
            self._changed.notify_all()

    def greet_again(self) -> None:
        """The receiver is another process than before, or has lost count: greet it, and tell it what is under way."""
        with self._changed:
            self.phase, self.credits, self._close_sent = GREETING, 0, False
            queued = {e.turn.session.id for e in self._queue if e.content == wire.SESSION_ENDED}
            for id, (session, ended) in sorted(self._sessions.items(), reverse=True):
                self._queue.appendleft(Envelope(wire.SESSION_BEGAN, Turn(session, 0)))
                if ended and id not in queued:
                    self._queue.append(Envelope(wire.SESSION_ENDED, Turn(session, 0)))

    # The runtime.

    def fence(self) -> None:
        with self._changed:
            before = self._values
            self._queue = deque(envelope for envelope in self._queue if not envelope.turn.cut)
            self._values = sum(envelope.content == wire.VALUE for envelope in self._queue)
            self.stale += before - self._values
            self._changed.notify_all()

    def forget(self, session: int) -> None:
        with self._changed:
            self._sessions.pop(session, None)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._values = 0
            self._changed.notify_all()

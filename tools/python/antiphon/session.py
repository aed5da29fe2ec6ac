"""Sessions and their turns, and how a computation learns that its turn was interrupted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, Optional


class TurnCut(Exception):
    """The turn that was being worked on has been interrupted. The runtime catches it and goes on with the next one."""

    def __init__(self, turn: "Turn"):
        super().__init__(f"turn {turn} was interrupted")
        self.turn = turn


class Session:
    """One conversation. `id` is unique within a run; outputs are named after `name`."""

    def __init__(self, id: int, name: str):
        self.id, self.name = id, name
        self._watermark = 1
        self._opened = 0
        self._lock = threading.Lock()

    @property
    def watermark(self) -> int:
        """The lowest epoch that is still wanted; it never falls."""
        return self._watermark

    def raise_watermark(self, epoch: int) -> None:
        with self._lock:
            self._watermark = max(self._watermark, epoch)
            self._opened = max(self._opened, epoch - 1)

    def next_epoch(self) -> int:
        with self._lock:
            self._opened = max(self._opened + 1, self._watermark)
            return self._opened

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Session({self.id}, {self.name!r})"


@dataclass(frozen=True)
class Turn:
    """A turn of a session: a question and all that follows from it. With epoch 0, the session as a whole."""

    session: Session
    epoch: int

    @property
    def cut(self) -> bool:
        """Whether the turn was interrupted. Poll it wherever a moment of compute could be saved; it costs nothing."""
        return self.epoch != 0 and self.epoch < self.session.watermark

    def check(self) -> None:
        """Leaves the current computation if the turn was interrupted, by raising TurnCut."""
        if self.cut:
            raise TurnCut(self)

    def __str__(self) -> str:
        return f"{self.session.name}#{self.epoch}" if self.epoch else self.session.name


class SessionTable:
    """The sessions that this process knows."""

    LIMIT = 65536

    def __init__(self):
        self._sessions: Dict[int, Session] = {}
        self._lock = threading.Lock()

    def find(self, id: int) -> Optional[Session]:
        return self._sessions.get(id)

    def open(self, id: int, name: str) -> Session:
        with self._lock:
            if id not in self._sessions:
                self._sessions[id] = Session(id, name)
            return self._sessions[id]

    def remove(self, id: int) -> None:
        with self._lock:
            self._sessions.pop(id, None)

    def __len__(self) -> int:
        return len(self._sessions)

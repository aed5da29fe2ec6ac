"""Where a node's messages wait: a queue per incoming edge, and one place for the node to wait on all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Tuple

from . import wire
from .messages import Message
from .session import Session, Turn


class Stopped(BaseException):
    """The run is over. Derived from BaseException so that a node's `except Exception` lets it through."""


@dataclass(frozen=True)
class Edge:
    """What the coordinator says of an edge."""

    index: int
    name: str
    port: str
    type: Any
    schema: int
    address: str
    depth: int
    policy: str
    is_feedback: bool = False
    carries_turns: bool = True
    sources: Tuple[int, ...] = ()
    #: The part at the other end.
    peer: int = -1
    peer_name: str = ""


@dataclass(frozen=True)
class Received:
    """A value came in on a port."""

    port: str
    value: Message
    turn: Turn
    time: int
    trace: int
    #: Of the edge it came on, and among the values of its output.
    edge: int = 0
    sequence: int = 0

    @property
    def session(self) -> Session:
        return self.turn.session


@dataclass(frozen=True)
class SessionBegan:
    session: Session


@dataclass(frozen=True)
class TurnEnded:
    """The turn is complete on all inputs; what the node sends for it now still belongs to it."""

    turn: Turn


@dataclass(frozen=True)
class TurnInterrupted:
    """The turn was interrupted, and all of the session's before it: forget them. It may come out of nothing."""

    turn: Turn


@dataclass(frozen=True)
class SessionEnded:
    """The session is complete on all inputs."""

    session: Session


@dataclass
class Statistics:
    delivered: int = 0
    dropped: int = 0
    stale: int = 0
    deepest: int = 0
    waited: int = 0


@dataclass
class Envelope:
    """A value or a mark, as it waits."""

    content: int
    turn: Turn
    value: Any = None
    sequence: int = 0
    time: int = 0
    trace: int = 0
    arrived: int = 0
    ticket: int = 0


@dataclass
class Lane:
    edge: Edge
    queue: Deque[Envelope] = field(default_factory=deque)
    #: Values in the queue; marks take no room.
    values: int = 0
    closed: bool = False
    statistics: Statistics = field(default_factory=Statistics)

    def carries(self, turn: Turn, session_end: bool) -> bool:
        """Whether that mark comes on this lane."""
        if self.edge.is_feedback:
            return False
        if self.edge.sources and (turn.session.id >> 32) - 1 not in self.edge.sources:
            return False
        return session_end or self.edge.carries_turns


class Overflow(Exception):
    """The lane is full: its sender sent more than it had credit for."""


class Mailbox:
    """The wire and the control thread call in; the node takes.

    The callbacks are what becomes of what the node takes: `taken` of values, which makes room in a lane; `passed` of
    marks that the node is back from; `acknowledge` of interruptions that it is back from.
    """

    def __init__(
        self,
        edges: List[Edge],
        taken: Callable[[int, int], None],
        passed: Callable[[int, Turn], None],
        acknowledge: Callable[[Turn], None],
        follows: bool = True,
    ):
        self.lanes = [Lane(edge) for edge in edges]
        self._taken, self._passed, self._acknowledge, self._follows = taken, passed, acknowledge, follows
        self._changed = threading.Condition()
        self._tickets = 0
        self._cuts: Deque[Turn] = deque()
        self._marks: Dict[Tuple[Turn, bool], Set[int]] = {}
        self._sessions: Set[int] = set()
        self._stopped = False
        self._returned: Optional[Callable[[], None]] = None

    # The network's side.

    def deliver(self, envelope: Envelope, lane: int) -> int:
        """Returns how many values the lane lost by it; raises Overflow if it is full."""
        line, lost = self.lanes[lane], 0
        with self._changed:
            if self._stopped:
                return 0
            if envelope.content == wire.VALUE:
                if envelope.turn.cut:
                    line.statistics.stale += 1
                    return 1
                policy, depth = line.edge.policy, line.edge.depth
                if policy in ("block", "fail") and line.values >= depth:
                    raise Overflow()
                while line.values >= (1 if policy == "latest" else depth):
                    self._drop_oldest(line)
                    lost += 1
                line.values += 1
                line.statistics.delivered += 1
                line.statistics.deepest = max(line.statistics.deepest, line.values)
            self._tickets += 1
            envelope.ticket, envelope.arrived = self._tickets, time.monotonic_ns()
            line.queue.append(envelope)
            self._changed.notify()
        return lost

    @staticmethod
    def _drop_oldest(line: Lane) -> None:
        """Marks are never dropped: a turn's end must arrive."""
        for position, waiting in enumerate(line.queue):
            if waiting.content == wire.VALUE:
                del line.queue[position]
                break
        line.values -= 1
        line.statistics.dropped += 1

    def values(self, lane: int) -> int:
        with self._changed:
            return self.lanes[lane].values

    def set_closed(self, lane: int, closed: bool) -> None:
        with self._changed:
            self.lanes[lane].closed = closed
            self._changed.notify()

    # The runtime's side.

    def fence(self, turn: Turn) -> List[int]:
        """Drops what an interruption made stale and leaves the node a notice; returns what each lane lost."""
        losses = []
        with self._changed:
            for line in self.lanes:
                kept = deque(waiting for waiting in line.queue if not waiting.turn.cut)
                values = sum(waiting.content == wire.VALUE for waiting in kept)
                losses.append(line.values - values)
                line.statistics.stale += line.values - values
                line.queue, line.values = kept, values
            self._cuts.append(turn)
            self._changed.notify()
        return losses

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def begin(self, session: Session) -> None:
        with self._changed:
            self._sessions.add(session.id)

    def forget(self, session: int) -> None:
        with self._changed:
            self._sessions.discard(session)

    # The node's side.

    def next(self) -> Any:
        """Waits for what comes next; None when nothing more will come. Raises Stopped when the run is over."""
        while True:
            if self._returned:
                self._returned()
                self._returned = None
            with self._changed:
                event, lane = self._wait()
            if lane is not None:
                self._taken(lane, 1)
            if event is not None or self._returned is None:
                return event

    def _wait(self) -> Tuple[Any, Optional[int]]:
        while True:
            if self._stopped:
                raise Stopped()
            if self._cuts:
                turn = self._cuts.popleft()
                self._marks = {
                    mark: seen
                    for mark, seen in self._marks.items()
                    if not (mark[0].session == turn.session and mark[0].cut)
                }
                self._returned = lambda: self._acknowledge(turn)
                return TurnInterrupted(turn), None
            ready = [index for index, line in enumerate(self.lanes) if line.queue]
            if ready:
                lane = min(ready, key=lambda index: self.lanes[index].queue[0].ticket)
                event = self._take(lane)
                if event is not None:
                    return event
                continue
            if self._ended():
                return None, None
            self._changed.wait()

    def _ended(self) -> bool:
        if any(not line.closed for line in self.lanes if not line.edge.is_feedback):
            return False
        # A loop goes round as long as there is anything to go round for.
        return not (self._sessions and any(line.edge.is_feedback for line in self.lanes))

    def _take(self, lane: int) -> Optional[Tuple[Any, Optional[int]]]:
        line = self.lanes[lane]
        envelope = line.queue.popleft()
        turn = envelope.turn
        if envelope.content == wire.VALUE:
            line.values -= 1
            line.statistics.waited += time.monotonic_ns() - envelope.arrived
            received = Received(
                line.edge.port, envelope.value, turn, envelope.time, envelope.trace, line.edge.index, envelope.sequence
            )
            return received, lane
        if envelope.content == wire.SESSION_BEGAN:
            # The same session comes on every edge; the node hears of it once, after those that it feeds.
            if turn.session.id in self._sessions:
                return None
            self._sessions.add(turn.session.id)
            self._passed(wire.SESSION_BEGAN, turn)
            return SessionBegan(turn.session), None
        session_end = envelope.content == wire.SESSION_ENDED
        if line.edge.is_feedback or turn.cut or (session_end and turn.session.id not in self._sessions):
            return None
        mark = (Turn(turn.session, 0) if session_end else turn, session_end)
        seen = self._marks.setdefault(mark, set())
        seen.add(lane)
        if any(i not in seen for i, other in enumerate(self.lanes) if other.carries(turn, session_end)):
            return None
        del self._marks[mark]
        self._returned = lambda: self._pass(mark)
        return (SessionEnded(turn.session) if session_end else TurnEnded(turn)), None

    def _pass(self, mark: Tuple[Turn, bool]) -> None:
        turn, session_end = mark
        if not self._follows:
            return
        if not turn.cut:
            self._passed(wire.SESSION_ENDED if session_end else wire.TURN_ENDED, turn)
        if session_end:
            self.forget(turn.session.id)

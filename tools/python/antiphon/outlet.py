"""The outputs of a running node, and the counts of what it does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, List, Optional

from . import wire
from .mailbox import Envelope
from .messages import Message
from .node import Port
from .outbound import OutboundEdge
from .session import Turn

if TYPE_CHECKING:
    from .runtime import Runtime


@dataclass
class Meter:
    """Counts what the node does, as the summary at the end of a run shows it."""

    received: int = 0
    sent: int = 0
    busy: int = 0
    blocked: int = 0
    stale: int = 0
    #: Durations by bucket; the bounds grow by an eighth.
    latency: List[int] = field(default_factory=list)

    def work(self, nanoseconds: int) -> None:
        self.busy += nanoseconds
        value = max(nanoseconds, 0)
        exponent = value.bit_length() - 1
        bucket = value if value < 8 else (exponent - 2) * 8 + ((value >> (exponent - 3)) & 7)
        self.latency += [0] * (bucket + 1 - len(self.latency))
        self.latency[bucket] += 1


class Outlet:
    """An output of a running node: stamps what the node sends and puts it on every edge that leaves here."""

    def __init__(self, port: Port, edges: List[OutboundEdge], runtime: "Runtime"):
        self._port, self._edges, self._runtime = port, edges, runtime
        self._sequence = 0

    @property
    def connected(self) -> bool:
        """Whether anybody listens; work for an output that nobody reads can be left out."""
        return bool(self._edges)

    def send(
        self, value: Message, turn: Optional[Turn] = None, time: Optional[int] = None, trace: Optional[int] = None
    ) -> bool:
        """Sends a value, and waits while an edge with policy `block` is full.

        Turn, time (nanoseconds since the session began) and trace are those of the message being handled unless
        others are given. Returns False if the turn was interrupted: then nothing was sent.
        """
        runtime, current = self._runtime, self._runtime.current
        turn = turn or current.turn
        if turn is None:
            raise ValueError(f"{self._port.name}.send needs a turn: no message is being handled")
        if turn.cut:
            runtime.meter.stale += 1
            return False
        for edge in self._edges:
            problem = value.type.mismatch(edge.edge.type)
            if problem:
                raise TypeError(f"port {self._port.name} carries {edge.edge.type}, not {value.type}: {problem}")
        if trace is None:
            trace = current.trace if current.trace is not None and turn == current.turn else runtime.new_trace()
        time = (current.time or 0) if time is None else time
        number, self._sequence = self._sequence, self._sequence + 1
        for edge in self._edges:
            runtime.trace("sent", flow=flow_of(edge.edge.index, number))
            started = now()
            if not edge.send(Envelope(wire.VALUE, turn, value, number, time, trace)):
                return False
            waited = now() - started
            runtime.meter.blocked += waited
            current.blocked += waited
        runtime.meter.sent += 1
        return True


@dataclass
class Current:
    """What the node is at."""

    turn: Optional[Turn] = None
    time: Optional[int] = None
    trace: Optional[int] = None
    what: str = ""
    started: int = 0
    #: Nanoseconds spent waiting for room downstream.
    blocked: int = 0


def flow_of(edge: int, sequence: int) -> int:
    """The same at both ends of a message's way."""
    return edge << 40 | sequence & 0xFF_FFFF_FFFF


def now() -> int:
    return time.monotonic_ns()

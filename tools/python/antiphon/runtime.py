"""Runs a node in this process as a part of an Antiphon graph."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from . import wire
from .control import ControlThread, JoinError
from .edges import EdgeThread
from .mailbox import Edge, Envelope, Mailbox, Received, SessionBegan, SessionEnded, Stopped, TurnEnded, TurnInterrupted
from .messages import TYPES, Message
from .node import Input, Node, Output, Port
from .outbound import OutboundEdge
from .porttype import PortType, fnv1a
from .session import Session, SessionTable, Turn
from .sockets import KeyFileError, Keys


class AssignmentError(Exception):
    """The graph asks of the node what it does not have."""


@dataclass
class Assignment:
    """What the coordinator tells the process of its node."""

    node: int
    name: str
    graph: str
    seed: int
    threads: int
    parameters: Dict[str, Any]
    inputs: List[Edge]
    outputs: List[Edge]

    @classmethod
    def read(cls, body: Dict[str, Any]) -> "Assignment":
        def edge(item: Dict[str, Any]) -> Edge:
            type = PortType.parse(item["type"])
            if type.name not in TYPES:
                raise AssignmentError(f"edge {item['name']} carries {type}, a type that this package does not know")
            return Edge(
                int(item["edge"]), item["name"], item["port"], type, int(item["schema"]), item["address"],
                int(item["depth"]), item["policy"], bool(item["isFeedback"]), bool(item["carriesTurns"]),
                tuple(item["sources"]), int(item["peer"]), item["peerName"],
            )

        try:
            return cls(
                int(body["node"]), body["name"], body["graph"], int(body["seed"]), int(body["threads"]),
                json.loads(body["parameters"]), [edge(item) for item in body["inputs"]],
                [edge(item) for item in body["outputs"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AssignmentError(f"the coordinator's assignment cannot be read: {error!r}") from None


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
            runtime.trace("sent", flow=_flow(edge.edge.index, number))
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


def _flow(edge: int, sequence: int) -> int:
    """The same at both ends of a message's way."""
    return edge << 40 | sequence & 0xFF_FFFF_FFFF


def now() -> int:
    return time.monotonic_ns()


class Runtime:
    """One node, its mailbox, its edges and its line to the coordinator."""

    def __init__(
        self,
        node: Type[Node],
        address: str,
        part: str,
        keys: Optional[str] = None,
        abandoned: Callable[[], None] = lambda: None,
    ):
        """`abandoned` is called, on some thread, when the coordinator is gone and the node has been told to stop."""
        self._abandoned = abandoned
        self._type = node
        self._part = part
        self._incarnation = random.SystemRandom().randrange(1, 1 << 63)
        self._keys = Keys(keys, part) if keys else None
        self._sessions = SessionTable()
        self._start = threading.Event()
        self._released = threading.Event()
        self._ended = False
        self._commands = threading.Lock()
        self._early: Optional[List[Tuple[str, Dict[str, Any]]]] = []
        self._begun: List[str] = []
        self._sessions_begun = 0
        self._traces = 0
        self._trace_entries: Optional[List[Dict[str, Any]]] = None
        self._edges: Optional[EdgeThread] = None
        self._mailbox: Optional[Mailbox] = None
        self._outbound: List[OutboundEdge] = []
        self._outlets: Dict[str, Outlet] = {}
        self.assignment: Assignment
        self.seed = 0
        self.stopping = False
        self.current = Current()
        self.meter = Meter()
        joining = {"part": part, "incarnation": self._incarnation, "process": os.getpid()}
        self._control = ControlThread(address, joining, self._keys, self._command, self._lost)

    # A life.

    def run(self) -> int:
        """Joins the run and stays until it is over; returns the exit status."""
        try:
            acceptance = self._control.join()
            self.assignment = Assignment.read(acceptance.get("assignment") or {})
        except (JoinError, AssignmentError) as error:
            print(f"{self._part}: {error}", file=sys.stderr)
            self._control.close()
            return 1
        status = 0
        try:
            node = self._assemble(acceptance)
            node.load()
            self.node_event("nodeReady")
            self._wait(self._start)
            node.run()
            self.node_event("nodeEnded")
            self._finish()
        except Stopped:
            self._finish()
        except BaseException as error:
            if not self.stopping:
                if not isinstance(error, AssignmentError):
                    traceback.print_exc()
                self.node_event("nodeFailed", reason=_describe(error))
                status = 1
        if self._edges:
            # Of a run that is being stopped nobody waits for the rest.
            self._edges.close(linger=0 if self.stopping else None)
        self._control.close()
        return status

    def _assemble(self, acceptance: Dict[str, Any]) -> Node:
        assignment = self.assignment
        self.seed = fnv1a(assignment.name.encode(), assignment.seed ^ 0xCBF29CE484222325)
        self._trace_entries = [] if acceptance.get("isTraced") else None
        inputs, outputs = _ports(self._type, Input), _ports(self._type, Output)
        for edge in assignment.inputs:
            _check(edge, inputs, "input")
        for edge in assignment.outputs:
            _check(edge, outputs, "output")
        for name, port in inputs.items():
            if self._type.run is Node.run and not callable(getattr(self._type, port.handler, None)):
                raise AssignmentError(f"{self._type.__name__} has no method {port.handler}(value, turn)")
            if not port.optional and all(edge.port != name for edge in assignment.inputs):
                raise AssignmentError(f"input '{name}' ({port.type}) is not connected")
        self._edges = EdgeThread(
            self._part, self._incarnation, acceptance["token"], assignment.graph, assignment.seed,
            assignment.threads, self._keys, self._sessions, self._control.post, self._broken,
        )
        self._mailbox = Mailbox(
            assignment.inputs, taken=self._edges.owe, passed=self._pass, acknowledge=self._acknowledge,
            follows=not self._type.ends_turns,
        )
        self._outbound = [OutboundEdge(edge, self._edges.wakeup.signal) for edge in assignment.outputs]
        for name, port in outputs.items():
            self._outlets[name] = Outlet(port, [end for end in self._outbound if end.edge.port == name], self)
        self._edges.start(self._mailbox, self._outbound)
        node = self._type()
        node._runtime = self
        self._listen()
        return node

    def _finish(self) -> None:
        """The node has ended: everything it sent leaves, and then the whole run may."""
        self._ended = True
        for end in self._outbound:
            end.close()
        while not self.stopping and not all(end.drained for end in self._outbound):
            time.sleep(0.002)
        entries = self._trace_entries or []
        for start in range(0, len(entries), 20_000):
            self._control.post({"trace": {"_0": entries[start : start + 20_000]}})
        self._control.post({"finished": {"_0": self._report()}})
        # A peer that is started anew wants to hear again of what is under way: stay until none will.
        while not self.stopping and not self._released.wait(0.1):
            pass

    def _wait(self, event: threading.Event) -> None:
        while not event.wait(0.1):
            if self.stopping:
                raise Stopped()
        if self.stopping:
            raise Stopped()

    def _stop(self) -> None:
        self.stopping = True
        for end in self._outbound:
            end.stop()
        if self._mailbox:
            self._mailbox.stop()

    def _broken(self, error: BaseException) -> None:
        traceback.print_exception(type(error), error, error.__traceback__)
        self.node_event("nodeFailed", reason=_describe(error))
        self._stop()

    def _lost(self, reason: str) -> None:
        print(f"{self._part}: {reason}", file=sys.stderr)
        self._stop()
        self._abandoned()

    # The coordinator's commands, on the control thread.

    def _command(self, name: str, arguments: Dict[str, Any]) -> None:
        with self._commands:
            if self._early is not None:
                self._early.append((name, arguments))
                return
        self._obey(name, arguments)

    def _listen(self) -> None:
        """There is something to command now; what came too early is done here."""
        with self._commands:
            early, self._early = self._early or [], None
            for name, arguments in early:
                self._obey(name, arguments)

    def _obey(self, name: str, arguments: Dict[str, Any]) -> None:
        try:
            if name == "fence":
                self._fence(int(arguments["session"]), str(arguments["name"]), int(arguments["epoch"]))
            elif name == "start":
                self._resume((arguments.get("begun") or {}).get(str(self.assignment.node), []), arguments.get("open") or [])
                self._start.set()
            elif name == "stop":
                self._stop()
            elif name == "release":
                self._released.set()
            elif name == "closeSession":
                self._close_session(int(arguments["session"]))
            elif name == "peerRestarted":
                for end in self._outbound:
                    if end.edge.peer == arguments["part"]:
                        end.greet_again()
                if self._edges:
                    self._edges.wakeup.signal()
            elif name == "report":
                self._control.post({"report": {"_0": self._report()}})
        except (KeyError, TypeError, ValueError, AttributeError):
            print(f"{self._part}: a command '{name}' cannot be read", file=sys.stderr)

    def _resume(self, begun: List[str], still_open: List[int]) -> None:
        """Ends the sessions that an earlier process began and could not end; they do not begin again."""
        self._begun, self._sessions_begun = list(begun), len(begun)
        for number, name in enumerate(begun, start=1):
            id = (self.assignment.node + 1) << 32 | number
            if id in still_open:
                turn = Turn(self._sessions.open(id, name), 0)
                self._pass(wire.SESSION_BEGAN, turn)
                self._pass(wire.SESSION_ENDED, turn)

    def _fence(self, id: int, name: str, epoch: int) -> None:
        session = self._sessions.open(id, name)
        session.raise_watermark(epoch + 1)
        turn = Turn(session, epoch)
        for end in self._outbound:
            end.fence()
        if self._mailbox:
            for lane, lost in enumerate(self._mailbox.fence(turn)):
                if lost:
                    self._edges.owe(lane, lost)
        if self._ended or not self._mailbox or not self._mailbox.lanes:
            self._acknowledge(turn)

    def _close_session(self, id: int) -> None:
        self._sessions.remove(id)
        for end in self._outbound:
            end.forget(id)
        if self._mailbox:
            self._mailbox.forget(id)

    # What the node's thread calls.

    def event(self, kind: str, **arguments: Any) -> None:
        self._control.post({kind: arguments})

    def node_event(self, kind: str, **arguments: Any) -> None:
        self._control.post({kind: dict(arguments, node=self.assignment.node)})

    def outlet(self, name: str) -> Outlet:
        return self._outlets[name]

    def new_trace(self) -> int:
        self._traces += 1
        return 1 << 63 | (self.assignment.node + 1) << 40 | self._traces

    def events(self) -> Iterator[Any]:
        while True:
            event = self._mailbox.next()
            if event is None:
                return
            self._enter(event)
            yield event
            self._leave()

    def _enter(self, event: Any) -> None:
        if isinstance(event, Received):
            self.meter.received += 1
            self.trace("taken", flow=_flow(event.edge, event.sequence))
            self.current = Current(event.turn, event.time, event.trace, event.port, now())
        elif isinstance(event, (TurnEnded, TurnInterrupted)):
            what = "end of turn" if isinstance(event, TurnEnded) else "interruption"
            self.current = Current(event.turn, what=what, started=now())
        elif isinstance(event, (SessionBegan, SessionEnded)):
            what = "session begins" if isinstance(event, SessionBegan) else "end of session"
            self.current = Current(Turn(event.session, 0), what=what, started=now())

    def _leave(self) -> None:
        spent = now() - self.current.started
        self.meter.work(spent - self.current.blocked)
        turn = str(self.current.turn)
        self.trace("work", self.current.started, duration=spent, what=self.current.what, turn=turn)
        self.current = Current()

    def trace(
        self, kind: str, at: Optional[int] = None, duration: int = 0, what: str = "", turn: str = "", flow: int = 0
    ) -> None:
        entries = self._trace_entries
        if entries is not None and len(entries) < 1_000_000:
            entries.append(
                {
                    "kind": kind, "node": self.assignment.node, "time": now() if at is None else at,
                    "duration": duration, "what": what, "turn": turn, "flow": flow,
                }
            )

    def begin_session(self, name: str) -> Optional[Session]:
        if name in self._begun:
            return None
        self._sessions_begun += 1
        session = self._sessions.open((self.assignment.node + 1) << 32 | self._sessions_begun, name)
        self.node_event("sessionBegan", session=session.id, name=name)
        self._pass(wire.SESSION_BEGAN, Turn(session, 0))
        return session

    def begin_turn(self, session: Session) -> Turn:
        turn = Turn(session, session.next_epoch())
        self.node_event("turnBegan", session=session.id, epoch=turn.epoch)
        return turn

    def end_turn(self, turn: Turn) -> None:
        if not turn.cut:
            self._pass(wire.TURN_ENDED, turn)

    def end_session(self, session: Session) -> None:
        self._mailbox.forget(session.id)
        self._pass(wire.SESSION_ENDED, Turn(session, 0))

    def _pass(self, content: int, turn: Turn) -> None:
        for end in self._outbound:
            end.mark(content, turn)
        # A node that feeds nobody is where turns and sessions come to their end.
        if content != wire.SESSION_BEGAN and all(end.edge.is_feedback for end in self._outbound):
            self.node_event("reached", session=turn.session.id, epoch=turn.epoch)

    def _acknowledge(self, turn: Turn) -> None:
        self.node_event("acknowledged", session=turn.session.id, epoch=turn.epoch)

    def _report(self) -> Dict[str, Any]:
        meter = self.meter
        node = {
            "node": self.assignment.name, "received": meter.received, "sent": meter.sent, "busy": meter.busy,
            "blocked": meter.blocked, "latency": {"counts": list(meter.latency)}, "stale": meter.stale,
        }
        edges = []
        for line in self._mailbox.lanes if self._mailbox else []:
            edges.append({"edge": line.edge.name, "waiting": line.values, "statistics": dict(vars(line.statistics))})
        for end in self._outbound:
            if end.dropped or end.stale:
                lost = {"delivered": 0, "dropped": end.dropped, "stale": end.stale, "deepest": 0, "waited": 0}
                edges.append({"edge": end.edge.name, "waiting": 0, "statistics": lost})
        refused = {"malformed": 0, "strangers": 0, "unauthenticated": 0}
        if self._edges:
            refused.update(malformed=self._edges.malformed, strangers=self._edges.strangers)
        return {"nodes": [node], "edges": edges, "refused": refused}


def _ports(node: Type[Node], kind: Type[Port]) -> Dict[str, Any]:
    found = {}
    for owner in reversed(node.__mro__):
        for value in vars(owner).values():
            if isinstance(value, kind):
                found[value.name] = value
    return found


def _check(edge: Edge, ports: Dict[str, Port], what: str) -> None:
    port = ports.get(edge.port)
    if port is None:
        known = ", ".join(sorted(ports)) or "none"
        raise AssignmentError(f"the graph names an {what} '{edge.port}', but the program's {what}s are: {known}")
    sides: Tuple[PortType, PortType] = (edge.type, port.type)
    problem = sides[0].mismatch(sides[1])
    if problem:
        raise AssignmentError(f"the graph says that {what} '{edge.port}' is {edge.type}, the program {port.type}: {problem}")


def _describe(error: BaseException) -> str:
    name = "" if isinstance(error, AssignmentError) else f"{type(error).__name__}: "
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames and name else ""
    return f"{name}{error}{place}"


def _exit_soon() -> None:
    """A node that does not look at `stopping` must not outlive the run."""
    timer = threading.Timer(5, lambda: os._exit(1))
    timer.daemon = True
    timer.start()


def run(node: Type[Node]) -> None:
    """Runs a node of that class as the process that a graph's external node names, and does not return."""
    address, part = os.environ.get("ANTIPHON_CONTROL"), os.environ.get("ANTIPHON_PART")
    if not address or not part:
        print(
            f"{os.path.basename(sys.argv[0])} is a node of an Antiphon graph and is started by `antiphon run`: "
            "declare it with `kind: external`",
            file=sys.stderr,
        )
        sys.exit(2)
    # The coordinator hears Ctrl-C too and ends the run in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = Runtime(node, address, part, os.environ.get("ANTIPHON_KEYS"), _exit_soon).run()
    except KeyFileError as error:
        print(f"{part}: {error}", file=sys.stderr)
        status = 1
    sys.stderr.flush()
    sys.exit(status)

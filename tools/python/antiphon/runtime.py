"""Runs a node in this process as a part of an Antiphon graph."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from . import wire
from .assignment import Assignment, AssignmentError, check, ports_of
from .control import ControlThread, JoinError
from .edges import EdgeThread
from .mailbox import Mailbox, Received, SessionBegan, SessionEnded, Stopped, TurnEnded, TurnInterrupted
from .node import Input, Node, Output
from .outbound import OutboundEdge
from .outlet import Current, Meter, Outlet, flow_of, now
from .porttype import fnv1a
from .session import Session, SessionTable, Turn
from .sockets import KeyFileError, Keys


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
        self._trace_lost = 0
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
        inputs, outputs = ports_of(self._type, Input), ports_of(self._type, Output)
        for edge in assignment.inputs:
            check(edge, inputs, "input")
        for edge in assignment.outputs:
            check(edge, outputs, "output")
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
            self.trace("taken", flow=flow_of(event.edge, event.sequence))
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
        if entries is not None and len(entries) >= 1_000_000:
            self._trace_lost += 1
        elif entries is not None:
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
        # Every edge leaves this process: the coordinator is told that the end has left it, after all that went before.
        if content != wire.SESSION_BEGAN:
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
        report = {"nodes": [node], "edges": edges, "refused": refused}
        if self._trace_lost:
            report["traceLost"] = self._trace_lost
        return report


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

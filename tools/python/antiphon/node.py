"""What the author of a node writes: a class with ports and handlers."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, Optional, Tuple, Type, Union

from .mailbox import Received, SessionBegan, SessionEnded, TurnEnded, TurnInterrupted
from .messages import Message
from .porttype import PortType
from .session import Session, Turn, TurnCut


class Port:
    """A port of a node: the type of its messages, with particulars such as `rate=24000`."""

    def __init__(self, message: Type[Message], name: str = "", **particulars: Union[int, str]):
        self.type = PortType(message.type_name, particulars)
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        # A trailing underscore lets a port be called like a Python keyword or a method of Node.
        self.name = self.name or name.rstrip("_")

    @property
    def handler(self) -> str:
        return "on_" + self.name.replace("-", "_")


class Input(Port):
    """Messages coming in. They are handed to the node's method `on_NAME(value, turn)`."""

    def __init__(
        self, message: Type[Message], name: str = "", optional: bool = False, **particulars: Union[int, str]
    ):
        super().__init__(message, name, **particulars)
        self.optional = optional


class Output(Port):
    """Messages going out."""

    def __get__(self, node: Optional["Node"], owner: type) -> Any:
        return self if node is None else node._runtime.outlet(self.name)


class Node:
    """One stage of a graph.

    A node has a thread to itself and may compute for as long as it likes; the coordinator's words are heard meanwhile.

        class Shout(antiphon.Node):
            text = antiphon.Input(antiphon.Text)
            loud = antiphon.Output(antiphon.Text)

            def on_text(self, text, turn):
                self.loud.send(antiphon.Text(text.string.upper()))

        antiphon.run(Shout)

    Besides `on_PORT` a node may have `on_session_began(session)`, `on_turn_ended(turn)`, `on_session_ended(session)`
    and `on_turn_interrupted(turn)`. The ends of turns and sessions are passed on to the outputs behind whatever the
    handler sends. A handler that works for long polls `turn.cut`, or calls `turn.check()`, which leaves it.

    A node without inputs, or one that wants its own loop, overrides `run()` and iterates `self.events()`.
    """

    #: Whether the node ends turns and sessions on its outputs itself, with `end_turn` and `end_session`, because what
    #: it makes of a turn outlasts what came in for it.
    ends_turns = False

    _runtime: Any = None

    # For the author to override.

    def load(self) -> None:
        """Loads what the node needs. The graph starts when all nodes have returned from this."""

    def run(self) -> None:
        """Does the node's work; returning means that the node is done for good."""
        for event in self.events():
            try:
                self._dispatch(event)
            except TurnCut:
                # On with what comes next.
                continue

    def on_session_began(self, session: Session) -> None:
        pass

    def on_turn_ended(self, turn: Turn) -> None:
        pass

    def on_turn_interrupted(self, turn: Turn) -> None:
        pass

    def on_session_ended(self, session: Session) -> None:
        pass

    def _dispatch(self, event: Any) -> None:
        if isinstance(event, Received):
            getattr(self, "on_" + event.port.replace("-", "_"))(event.value, event.turn)
        elif isinstance(event, SessionBegan):
            self.on_session_began(event.session)
        elif isinstance(event, TurnEnded):
            self.on_turn_ended(event.turn)
        elif isinstance(event, TurnInterrupted):
            self.on_turn_interrupted(event.turn)
        elif isinstance(event, SessionEnded):
            self.on_session_ended(event.session)

    # For the author to use.

    def events(self) -> Iterator[Any]:
        """Received, SessionBegan, TurnEnded, TurnInterrupted and SessionEnded, as they come; ends with the inputs."""
        return self._runtime.events()

    @property
    def name(self) -> str:
        """The node's name in the graph."""
        return self._runtime.assignment.name

    @property
    def parameters(self) -> Dict[str, Any]:
        """What the graph file says under `with`."""
        return self._runtime.assignment.parameters

    @property
    def seed(self) -> int:
        """The run's seed, mixed with the node's name: the same run gives the same numbers."""
        return self._runtime.seed

    @property
    def threads(self) -> int:
        """How many threads a computation may use."""
        return self._runtime.assignment.threads

    @property
    def stopping(self) -> bool:
        """Whether the run is being stopped: leave loops that wait for nothing."""
        return self._runtime.stopping

    def begin_session(self, name: str) -> Optional[Session]:
        """Starts a session on all outputs; for nodes without inputs.

        None if the session was over before this process started, as it may be after a restart: go on to the next.
        """
        return self._runtime.begin_session(name)

    def begin_turn(self, session: Session) -> Turn:
        """Opens the session's next turn. Every turn that is opened comes to exactly one end."""
        return self._runtime.begin_turn(session)

    def end_turn(self, turn: Turn) -> None:
        """Ends the turn on all outputs, for nodes without inputs and those that end turns themselves."""
        self._runtime.end_turn(turn)

    def end_session(self, session: Session) -> None:
        """Ends the session on all outputs, for nodes without inputs and those that end turns themselves."""
        self._runtime.end_session(session)

    def interrupt(self, session: Session, reason: str, epoch: Optional[int] = None) -> None:
        """Interrupts the session up to a turn, by default its latest: all of that falls silent, in every process."""
        up_to = {} if epoch is None else {"epoch": epoch}
        self._runtime.event("interrupt", session=session.id, reason=reason, **up_to)

    def fail(self, turn: Turn, reason: str) -> None:
        """The turn failed in this node, and only the turn: the run goes on."""
        self._runtime.node_event("turnFailed", session=turn.session.id, epoch=turn.epoch, reason=reason)

    def played(self, turn: Turn, time: int) -> None:
        """How many nanoseconds of the turn's audio have left the device, for nodes that play."""
        self._runtime.event("played", session=turn.session.id, epoch=turn.epoch, time=time)

    def said(self, turn: Turn, pieces: Iterable[Tuple[str, int]], replacing: bool = False) -> None:
        """What the turn's audio says: texts, and by which nanosecond of the audio each has been heard. With `replacing` they
        take the place of what was told before."""
        told = [{"text": text, "end": end} for text, end in pieces]
        self._runtime.event("said", session=turn.session.id, epoch=turn.epoch, pieces=told, replacing=replacing)

    def progress(self, what: str, fraction: float) -> None:
        """Shows the user how a long piece of work is getting on, 0 to 1."""
        self._runtime.node_event("progress", what=what, fraction=float(fraction))

    def log(self, text: str) -> None:
        """A line on standard error."""
        self._runtime.node_event("log", text=text)

    def print(self, text: str) -> None:
        """A result for the user, on standard output."""
        self._runtime.node_event("print", text=text)

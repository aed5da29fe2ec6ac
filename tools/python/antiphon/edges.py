"""The thread that owns the sockets of all edges: a ROUTER that is bound for each that comes in, a DEALER for each that
goes out."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Optional

import zmq

from . import wire
from .mailbox import Edge, Envelope, Mailbox, Overflow
from .messages import TYPES
from .outbound import GREETING, READY, OutboundEdge
from .records import DataMessage, DataWriter, Record, read_data
from .session import SessionTable, Turn
from .sockets import Keys, Wakeup, configure, connect


class _Receiver:
    def __init__(self, edge: Edge, lane: int, socket: zmq.Socket):
        self.edge, self.lane, self.socket = edge, lane, socket
        self.type = TYPES[edge.type.name]
        #: The routing id of the process that greeted last; only it is listened to.
        self.peer: Optional[bytes] = None
        self.incarnation = 0
        self.expected = 0
        #: Room that has become free and that the sender has not been told of. It is told when this is worth a message;
        #: one that has used up its credit always is, since by then all of the depth is owed.
        self.owed = 0
        self.enough = max(1, edge.depth // 4)


class _Sender:
    PATIENCE = 0.5

    def __init__(self, end: OutboundEdge, socket: zmq.Socket):
        self.end, self.socket = end, socket
        #: The message that the socket did not take yet.
        self.pending: Optional[List[bytes]] = None
        self.number = 0
        self.attempt = 0
        self.greeted: Optional[float] = None
        self.patience = self.PATIENCE


class EdgeThread:
    """All ends of edges in this process."""

    def __init__(
        self,
        part: str,
        incarnation: int,
        token: str,
        graph: str,
        seed: int,
        threads: int,
        keys: Optional[Keys],
        sessions: SessionTable,
        report: Callable[[Dict[str, Any]], None],
        failed: Callable[[BaseException], None],
    ):
        self._part, self._incarnation, self._token, self._graph = part, incarnation, token, graph
        self._seed, self._threads, self._keys = seed, threads, keys
        self._sessions, self._report, self._failed = sessions, report, failed
        self._context = zmq.Context(1)
        self.wakeup = Wakeup()
        self._owed = threading.Lock()
        self._receivers: List[_Receiver] = []
        self._senders: List[_Sender] = []
        self._mailbox: Optional[Mailbox] = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="antiphon-edges", daemon=True)
        self.malformed = self.strangers = 0

    def start(self, mailbox: Mailbox, outbound: List[OutboundEdge]) -> None:
        """Binds and connects everything; raises zmq.ZMQError if that cannot be done."""
        self._mailbox = mailbox
        for lane, line in enumerate(mailbox.lanes):
            socket = self._context.socket(zmq.ROUTER)
            configure(socket, 2000, wire.MAX_FRAME)
            socket.rcvhwm = socket.sndhwm = line.edge.depth + 64
            self._receivers.append(_Receiver(line.edge, lane, socket))
            socket.bind(line.edge.address)
        for end in outbound:
            socket = connect(self._context, end.edge.address, end.edge.peer_name, self._keys, 2000, wire.MAX_FRAME)
            self._senders.append(_Sender(end, socket))
        self._thread.start()

    def close(self, linger: Optional[int] = None) -> None:
        """Ends the thread and hands what is still to be sent to the network, for so many milliseconds at most."""
        self._stopping = True
        self.wakeup.signal()
        if self._thread.ident:
            self._thread.join()
        for end in self._receivers + self._senders:
            end.socket.close(linger)
        self._context.term()

    def owe(self, lane: int, count: int) -> None:
        """The node took, or lost, values of that lane."""
        receiver = self._receivers[lane]
        with self._owed:
            before, receiver.owed = receiver.owed, receiver.owed + count
        if before < receiver.enough <= before + count:
            self.wakeup.signal()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # Without this thread nothing moves: better to fail than to hang.
            self._failed(error)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self.wakeup.reader, zmq.POLLIN)
        for end in self._receivers + self._senders:
            poller.register(end.socket, zmq.POLLIN)
        while not self._stopping:
            poller.poll(100)
            self.wakeup.drain()
            for receiver in self._receivers:
                self._receive(receiver)
            for sender in self._senders:
                self._answers(sender)
                self._greet(sender)
                taken = self._flush(sender)
                poller.modify(sender.socket, zmq.POLLIN if taken else zmq.POLLIN | zmq.POLLOUT)
            for receiver in self._receivers:
                self._pay(receiver)

    # Sending.

    def _greet(self, sender: _Sender) -> None:
        now = time.monotonic()
        if sender.end.phase != GREETING or (sender.greeted is not None and now - sender.greeted < sender.patience):
            return
        sender.greeted = now
        sender.attempt = (sender.attempt + 1) & 0xFFFFFFFF
        # An answer that takes longer than this must still be the answer to the last greeting one day.
        sender.patience = min(sender.patience * 2, 8)
        sender.number, sender.pending = 0, None
        edge = sender.end.edge
        hello = wire.Hello(
            edge.index, sender.attempt, self._incarnation, edge.schema, self._token, self._graph, str(edge.type),
            self._part, self._seed, self._threads, "",
        )
        self._send(sender.socket, [hello.encode()])

    def _flush(self, sender: _Sender) -> bool:
        while True:
            if sender.pending is None:
                writer = DataWriter(sender.end.edge.index, self._incarnation, sender.number)
                while not writer.full:
                    record = sender.end.next()
                    if record is None:
                        break
                    writer.append(record)
                if writer.empty:
                    return True
                sender.number += 1
                sender.pending = writer.frames
            if not self._send(sender.socket, sender.pending):
                return False
            sender.pending = None

    def _answers(self, sender: _Sender) -> None:
        for frames in self._messages(sender.socket):
            end = sender.end
            try:
                answer = wire.read_answer(frames[0].buffer)
            except wire.WireError:
                self.malformed += 1
                continue
            if isinstance(answer, wire.Welcome):
                # An answer to an earlier greeting promises room that a later one promises again.
                if answer.attempt == sender.attempt and end.phase == GREETING:
                    sender.patience = sender.PATIENCE
                    end.welcome(answer.credits)
                    self._report({"edgeReady": {"edge": end.edge.index}})
            elif isinstance(answer, wire.Credit):
                end.credit(answer.count)
            elif isinstance(answer, wire.Refuse):
                end.refuse(answer.reason)
                self._report({"edgeBroken": {"edge": end.edge.index, "reason": f"refused: {answer.reason}"}})
            elif end.phase == READY:
                end.greet_again()
                sender.greeted = None

    # Receiving.

    def _receive(self, receiver: _Receiver) -> None:
        for frames in self._messages(receiver.socket):
            if len(frames) < 2:
                continue
            peer = frames[0].bytes
            try:
                if len(frames) > wire.MAX_FRAMES:
                    raise wire.WireError("too many frames")
                reader = wire.Reader(frames[1].buffer)
                kind = reader.preamble()
                if kind == wire.HELLO:
                    self._greeted(receiver, peer, wire.Hello.decode(reader))
                elif kind != wire.DATA:
                    raise wire.WireError("a sender sent what only receivers do")
                elif peer != receiver.peer:
                    self.strangers += 1
                    self._send(receiver.socket, [peer, wire.WhoIsThere().encode()])
                else:
                    payload = [frame.buffer for frame in frames[2:]]
                    self._take(receiver, read_data(reader, payload, receiver.type))
            except ValueError as error:
                self.malformed += 1
                if peer == receiver.peer:
                    receiver.peer = None
                    self._report({"edgeBroken": {"edge": receiver.edge.index, "reason": str(error)}})
                self._send(receiver.socket, [peer, wire.Refuse(f"malformed: {error}").encode()])

    def _objection(self, edge: Edge, hello: wire.Hello) -> Optional[str]:
        """Why the sender is not taken; None if it is."""
        if hello.token != self._token:
            return f"{hello.part} does not belong to this run"
        if hello.edge != edge.index:
            return f"this is the address of {edge.name}"
        if hello.graph != self._graph:
            return f"{hello.part} runs another graph ({hello.graph[:16]}, not {self._graph[:16]})"
        if edge.peer_name and hello.part != edge.peer_name:
            return f"{edge.name} comes from part {edge.peer_name}"
        if hello.schema != edge.schema:
            return f"{edge.name} carries {edge.type}, but {hello.part} sends {hello.type}"
        return None

    def _greeted(self, receiver: _Receiver, peer: bytes, hello: wire.Hello) -> None:
        reason = self._objection(receiver.edge, hello)
        if reason:
            self.strangers += 1
            self._send(receiver.socket, [peer, wire.Refuse(reason).encode()])
            return
        if receiver.peer is None or receiver.incarnation != hello.incarnation:
            self._mailbox.set_closed(receiver.lane, False)
        receiver.peer, receiver.incarnation, receiver.expected = peer, hello.incarnation, 0
        with self._owed:
            receiver.owed = 0
            room = max(0, receiver.edge.depth - self._mailbox.values(receiver.lane))
        self._send(receiver.socket, [peer, wire.Welcome(hello.attempt, room).encode()])

    def _take(self, receiver: _Receiver, message: DataMessage) -> None:
        edge = receiver.edge
        if message.edge != edge.index or message.incarnation != receiver.incarnation:
            raise wire.WireError("a message of another edge or process")
        if message.number != receiver.expected:
            raise wire.WireError(
                f"message {message.number} came where {receiver.expected} was due: the link lost some"
            )
        receiver.expected += 1
        for record in message.records:
            self._record(receiver, record)

    def _record(self, receiver: _Receiver, record: Record) -> None:
        edge = receiver.edge
        if record.content == wire.CLOSED:
            self._mailbox.set_closed(receiver.lane, True)
            return
        if record.content == wire.SESSION_BEGAN:
            if len(self._sessions) >= SessionTable.LIMIT:
                raise wire.WireError("too many sessions")
            self._sessions.open(record.session, record.name)
        elif record.content == wire.VALUE:
            if record.schema != edge.schema:
                raise wire.WireError("a value of another type")
            problem = record.value.type.mismatch(edge.type)
            if problem:
                raise wire.WireError(f"a value whose {problem}")
        session = self._sessions.find(record.session)
        lost = int(record.content == wire.VALUE)
        # A session that is over here may still have something under way.
        if session is not None:
            turn = Turn(session, record.epoch)
            envelope = Envelope(record.content, turn, record.value, record.sequence, record.time, record.trace)
            try:
                lost = self._mailbox.deliver(envelope, receiver.lane)
            except Overflow:
                raise wire.WireError("the sender sent more than it had credit for") from None
        if lost:
            self.owe(receiver.lane, lost)

    def _pay(self, receiver: _Receiver) -> None:
        if receiver.peer is None or receiver.owed < receiver.enough:
            return
        with self._owed:
            owed, receiver.owed = receiver.owed, 0
        self._send(receiver.socket, [receiver.peer, wire.Credit(owed).encode()])

    # Both.

    @staticmethod
    def _messages(socket: zmq.Socket):
        # Bounded, so that one busy edge does not keep the others waiting; the poller tells if there is more.
        for _ in range(64):
            try:
                yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return

    @staticmethod
    def _send(socket: zmq.Socket, frames: List[bytes]) -> bool:
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False
        except zmq.ZMQError:
            # A peer that is gone cannot be reached; its end will be noticed elsewhere.
            return True

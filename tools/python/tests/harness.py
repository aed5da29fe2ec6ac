"""A run around one node: the coordinator, the sender of its input and the receiver of its output, all in the test."""

import json
import os
import tempfile
import threading
import time

import zmq

import antiphon
from antiphon import wire
from antiphon.messages import TYPES
from antiphon.records import DataWriter, Record, read_data
from antiphon.runtime import Runtime

TIMEOUT = 20_000


class Run:
    TOKEN, GRAPH = "the-token", "the-graph"

    def __init__(
        self, node, inputs=None, outputs=None, parameters=None, depth=4, policy="block", start=True, feedback=()
    ):
        self._folder = tempfile.TemporaryDirectory(prefix="antiphon-")
        self._context = zmq.Context()
        self.control = self._socket(zmq.ROUTER)
        self.control.bind(self._address("control"))
        self.events = []
        self.inputs, self.outputs = {}, {}
        items = {"inputs": [], "outputs": []}
        for side, ports in (("inputs", inputs or {}), ("outputs", outputs or {})):
            for port, type in ports.items():
                index = len(items["inputs"]) + len(items["outputs"])
                items[side].append(self._edge(index, port, type, depth, policy, port in feedback))
        self.assignment = {
            "node": 1, "name": "tested", "graph": self.GRAPH, "seed": 7, "threads": 2,
            "parameters": json.dumps(parameters or {}), **items,
        }
        self.status = []
        self.runtime = Runtime(node, self._address("control"), "tested")
        self._thread = threading.Thread(target=lambda: self.status.append(self.runtime.run()), daemon=True)
        for item in items["outputs"]:
            self.outputs[item["port"]] = End(self._socket(zmq.ROUTER), item)
            self.outputs[item["port"]].socket.bind(item["address"])
        self._thread.start()
        self.peer, joining = self.hear(wire.JOIN)
        assert joining["part"] == "tested" and joining["process"] == os.getpid()
        self.tell(wire.ACCEPT, {"token": self.TOKEN, "isTraced": False, "assignment": self.assignment})
        for item in items["inputs"]:
            self.inputs[item["port"]] = End(self._socket(zmq.DEALER), item)
            self.inputs[item["port"]].socket.connect(item["address"])
        if start:
            self.connect()
            self.event("nodeReady")
            self.command("start", begun={}, open=[])

    def _address(self, name):
        return f"ipc://{self._folder.name}/{name}"

    def _edge(self, index, port, type, depth, policy, feedback):
        type = antiphon.PortType.parse(type)
        return {
            "edge": index, "name": f"edge {index}", "port": port, "type": str(type), "schema": type.schema,
            "address": self._address(str(index)), "depth": depth, "policy": policy, "isFeedback": feedback,
            "carriesTurns": True, "sources": [0], "peer": 0, "peerName": "main",
        }

    def _socket(self, kind):
        socket = self._context.socket(kind)
        socket.rcvtimeo = socket.sndtimeo = TIMEOUT
        socket.linger = 0
        return socket

    # The coordinator.

    def tell(self, kind, body=None):
        self.control.send_multipart([self.peer, wire.control(kind, body)])

    def command(self, name, /, **arguments):
        self.tell(wire.COMMAND, {name: arguments})

    def fence(self, epoch, session=1 << 32 | 1):
        self.command("fence", session=session, name="kitchen", epoch=epoch)

    def hear(self, wanted):
        while True:
            peer, data = self.control.recv_multipart()
            kind, body = wire.read_control(data)
            if kind == wanted:
                return peer, body

    def event(self, name):
        """Waits for an event of that name; those that come before it are in `events`."""
        for position, (known, arguments) in enumerate(self.events):
            if known == name:
                del self.events[position]
                return arguments
        while True:
            ((known, arguments),) = self.hear(wire.EVENT)[1].items()
            if known == name:
                return arguments
            self.events.append((known, arguments))

    def connect(self):
        for end in self.inputs.values():
            end.greet(self)
        for end in self.outputs.values():
            end.welcome(self)

    def finish(self):
        """Lets the run end; returns the node's report."""
        report = self.event("finished")["_0"]
        self.command("release")
        self.join()
        return report

    def join(self):
        self._thread.join(TIMEOUT / 1000)
        assert not self._thread.is_alive(), "the node did not end"

    def close(self):
        if self._thread.is_alive():
            self.command("stop")
            self.join()
        self._context.destroy(linger=0)
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class End:
    """The far end of an edge of the node."""

    def __init__(self, socket, item):
        self.socket, self.item = socket, item
        self.type = TYPES[antiphon.PortType.parse(item["type"]).name]
        self.number = 0
        self.credits = 0
        self.records = []
        self.peer = None

    # As the sender.

    def hello(self, run, **other):
        values = dict(
            edge=self.item["edge"], attempt=1, incarnation=5, schema=self.item["schema"], token=run.TOKEN,
            graph=run.GRAPH, type=self.item["type"], part="main",
        )
        values.update(other)
        self.socket.send(wire.Hello(**values).encode())
        self.number = 0
        return wire.read_answer(self.socket.recv())

    def greet(self, run):
        answer = self.hello(run)
        while not isinstance(answer, wire.Welcome):
            answer = self.answer()
        self.credits = answer.credits

    def send(self, *records):
        writer = DataWriter(self.item["edge"], 5, self.number)
        for record in records:
            record.schema = self.item["schema"]
            writer.append(record)
        self.number += 1
        self.socket.send_multipart(writer.frames)

    def value(self, value, epoch=1, **more):
        self.send(Record(wire.VALUE, 1 << 32 | 1, epoch, value=value, **more))

    def mark(self, content, epoch=0, session=1 << 32 | 1, name="kitchen"):
        self.send(Record(content, session, epoch, name=name))

    def answer(self):
        return wire.read_answer(self.socket.recv())

    def take_credit(self, count):
        """Waits for so much credit, in however many messages it comes."""
        while count > 0:
            count -= self.answer().count
        assert count == 0, "the node gave back more than it took"

    # As the receiver.

    def welcome(self, run, credits=None):
        while self.peer is None:
            peer, data = self.socket.recv_multipart()
            reader = wire.Reader(data)
            assert reader.preamble() == wire.HELLO
            hello = wire.Hello.decode(reader)
            assert (hello.token, hello.part, hello.graph) == (run.TOKEN, "tested", run.GRAPH)
            credits = self.item["depth"] if credits is None else credits
            self.socket.send_multipart([peer, wire.Welcome(hello.attempt, credits).encode()])
            self.peer = peer

    def credit(self, count):
        self.socket.send_multipart([self.peer, wire.Credit(count).encode()])

    def record(self):
        while not self.records:
            frames = self.socket.recv_multipart()
            reader = wire.Reader(frames[1])
            if reader.preamble() == wire.DATA:
                message = read_data(reader, frames[2:], self.type)
                assert message.number == self.number, (message.number, self.number)
                self.number += 1
                self.records += message.records
        return self.records.pop(0)

    def quiet(self, seconds=0.15):
        """Whether nothing comes for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.records or self.socket.poll(10):
                return False
        return True

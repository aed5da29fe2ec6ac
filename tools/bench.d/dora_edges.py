"""Two dora-rs nodes, through dora's Python API, for tools/bench: a ping-pong, then a flood.

ping SIZE RESULT | pong SIZE
"""

import json
import sys
import time

import numpy
import pyarrow
from dora import Node

ROUNDS = 300


def count(size):
    """Messages in a flood: enough to measure, and not too much memory should the receiver lag behind."""
    return max(30, min(3000, (64 << 20) // size))


def next_input(node):
    while (event := node.next()) is not None:
        if event["type"] == "INPUT":
            return event
    sys.exit("the dataflow was stopped")


def ping(size, path):
    node = Node()
    payload = pyarrow.array(numpy.full(size, 7, dtype=numpy.uint8))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        node.send_output("there", payload)
        next_input(node)
        times.append(time.perf_counter_ns() - start)
    for _ in range(count(size)):
        node.send_output("flood", payload)
    # What the flood's receiver says: messages a second.
    rate = float(next_input(node)["value"].to_numpy()[0])
    times = sorted(times[20:])
    result = {"size": size, "rate": rate, "p50": times[len(times) // 2] / 2, "p99": times[len(times) * 99 // 100] / 2}
    with open(path, "w") as file:
        json.dump(result, file)


def pong(size):
    node = Node()
    answer = pyarrow.array(numpy.full(size, 7, dtype=numpy.uint8))
    received, start = 0, 0
    while received < count(size):
        if next_input(node)["id"] == "there":
            node.send_output("back", answer)
            continue
        received += 1
        if received == 1:
            start = time.perf_counter_ns()
    rate = (received - 1) * 1e9 / (time.perf_counter_ns() - start)
    node.send_output("back", pyarrow.array(numpy.array([rate])))
    # Stay until ping is done: what a node sent last may be lost when it ends.
    while node.next() is not None:
        pass


if sys.argv[1] == "ping":
    ping(int(sys.argv[2]), sys.argv[3])
else:
    pong(int(sys.argv[2]))

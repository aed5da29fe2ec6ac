"""Two dora-rs nodes, through dora's Python API, for tools/bench: a ping-pong, then a flood, for each size.

ping SIZES RESULT | pong SIZES RESULT
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


def ping(sizes, path):
    node = Node()
    results = []
    for size in sizes:
        payload = pyarrow.array(numpy.full(size, 7, dtype=numpy.uint8))
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter_ns()
            node.send_output("there", payload)
            while node.next()["type"] != "INPUT":
                pass
            times.append(time.perf_counter_ns() - start)
        for _ in range(count(size)):
            node.send_output("flood", payload)
        # What the flood's receiver says: messages a second.
        while (event := node.next())["type"] != "INPUT":
            pass
        times = sorted(times[20:])
        results.append(
            {
                "size": size,
                "rate": float(event["value"].to_numpy()[0]),
                "p50": times[len(times) // 2] / 2,
                "p99": times[len(times) * 99 // 100] / 2,
            }
        )
    with open(path, "w") as file:
        json.dump(results, file)


def pong(sizes):
    node = Node()
    for size in sizes:
        answer = pyarrow.array(numpy.full(size, 7, dtype=numpy.uint8))
        received, start = 0, 0
        for event in node:
            if event["type"] != "INPUT":
                continue
            if event["id"] == "there":
                node.send_output("back", answer)
                continue
            received += 1
            if received == 1:
                start = time.perf_counter_ns()
            if received == count(size):
                rate = (received - 1) * 1e9 / (time.perf_counter_ns() - start)
                node.send_output("back", pyarrow.array(numpy.array([rate])))
                break


sizes = [int(size) for size in sys.argv[2].split(",")]
if sys.argv[1] == "ping":
    ping(sizes, sys.argv[3])
else:
    pong(sizes)

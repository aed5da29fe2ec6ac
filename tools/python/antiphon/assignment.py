"""What a node is told to do, and whether its program can."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple, Type

from .mailbox import Edge
from .messages import TYPES
from .node import Node, Port
from .porttype import PortType


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


def ports_of(node: Type[Node], kind: Type[Port]) -> Dict[str, Any]:
    found = {}
    for owner in reversed(node.__mro__):
        for value in vars(owner).values():
            if isinstance(value, kind):
                found[value.name] = value
    return found


def check(edge: Edge, ports: Dict[str, Port], what: str) -> None:
    port = ports.get(edge.port)
    if port is None:
        known = ", ".join(sorted(ports)) or "none"
        raise AssignmentError(f"the graph names an {what} '{edge.port}', but the program's {what}s are: {known}")
    sides: Tuple[PortType, PortType] = (edge.type, port.type)
    problem = sides[0].mismatch(sides[1])
    if problem:
        raise AssignmentError(f"the graph says that {what} '{edge.port}' is {edge.type}, the program {port.type}: {problem}")

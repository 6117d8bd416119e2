"""networkx: a graph is its class, its attributes, its nodes and its edges; what it computed from them is left out."""

from __future__ import annotations

import sys

from ._node import FIELDS, node
from ._objects import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described, Handler

_COMPUTED = frozenset(
    {"graph", "_node", "_adj", "_succ", "_pred", "nodes", "edges", "degree", "adj", "succ", "pred"}
    | {"in_edges", "out_edges", "in_degree", "out_degree", "__networkx_cache__", "__weakref__"}
)


def handler(cls: type, name: str) -> Handler | None:
    networkx = sys.modules["networkx"]
    if cls not in (networkx.Graph, networkx.DiGraph, networkx.MultiGraph, networkx.MultiDiGraph):
        return None

    def describe(value: Any) -> Described:
        nodes = dict(value.nodes(data=True))
        edges = {start: dict(neighbours) for start, neighbours in value.adjacency()}
        parts: tuple[Any, ...] = (value.graph, nodes, edges, attributes(vars(value), _COMPUTED))
        return node("networkx", parts, FIELDS, ("graph", "nodes", "adj", ""), name)

    return describe


def extra(value: Any) -> dict[str, Any]:
    return {}  # all attributes are in the description

"""Without pure nodes that nothing reads, like what the last round of a `repeat` hands on to none."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Node

PURE = (g.Value, g.Thread, g.Merge)
"""Operations whose only effect is their value."""


def remove_dead_nodes(graph: FlowGraph) -> FlowGraph:
    """The nodes that have an effect, and all that these need. Which of them stand for which call is not kept."""
    alive: list[Node] = []
    needed: set[str] = set()
    for node in reversed(list(graph.nodes.values())):
        if node.id in needed or not isinstance(node.operation, PURE):
            alive.append(node)
            needed.update(_needs(node, graph))
    if len(alive) == len(graph.nodes) and not graph.inlined:
        return graph
    ids = {node.id for node in alive}
    return replace(graph, nodes={node.id: _among(node, ids) for node in reversed(alive)}, inlined=())


def _needs(node: Node, graph: FlowGraph) -> Iterator[str]:
    """What a node reads and what guards it. An attempt has no need of a member only because it is one: a value that
    nothing reads is not worked out, and so does not fail, wherever it stands."""
    yield from (guard.condition for guard in graph.gates(node))
    for source, _ in g.reads(node):
        if not isinstance(node.operation, g.Attempt) or not isinstance(graph.nodes[source].operation, PURE):
            yield source
    if isinstance(node.operation, g.Attempt):
        yield from (value.node for value in g.node_values(node.operation))


def _among(node: Node, alive: Container[str]) -> Node:
    """An attempt, less the members that are not there any more."""
    if not isinstance(node.operation, g.Attempt):
        return node
    among = tuple(member for member in node.operation.among if member in alive)
    return replace(node, operation=replace(node.operation, among=among))

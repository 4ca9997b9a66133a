"""Without pure nodes that nothing reads, like what the last round of a `repeat` hands on to none."""

from __future__ import annotations

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
            needed |= {source for source, _ in g.reads(node)} | {guard.condition for guard in graph.gates(node)}
    return replace(graph, nodes={node.id: node for node in reversed(alive)}, inlined=())

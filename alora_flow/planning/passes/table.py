"""The passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.graph.verify import verify
from alora_flow.planning.passes.dead_nodes import remove_dead_nodes
from alora_flow.planning.passes.mocking import apply_mocks


class Pass(NamedTuple):
    """From a graph to one that means the same and costs less, or is nearer to what runs."""

    name: str
    about: str
    run: Callable[[FlowGraph], FlowGraph]


PASSES = (
    Pass("mocking", "puts a test's mocks where the calls are", apply_mocks),
    Pass("dead-nodes", "drops pure nodes that nothing reads", remove_dead_nodes),
)


def run_passes(graph: FlowGraph, left_out: Container[str] = ()) -> FlowGraph:
    """A graph as lowering gives it, through all passes but those left out by name; verified after each change."""
    verify(graph)
    for each in PASSES:
        if each.name not in left_out:
            before, graph = graph, each.run(graph)
            if graph is not before:
                verify(graph)
    return graph

"""What is true of every graph, between any two passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alora_flow.language.meaning.types import BOOL
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Guard


class BrokenGraph(AssertionError):
    """A pass, or lowering, has made a graph that can't be: a mistake of ours, never of a flow file."""


def verify(graph: FlowGraph) -> None:
    """Raises BrokenGraph with the name of the first invariant that does not hold, and where."""
    for name, check in INVARIANTS.items():
        for fault in check(graph):
            raise BrokenGraph(f"{name}: {fault}")


def _ids(graph: FlowGraph) -> Iterator[str]:
    yield from (f"'{node.id}' stands under '{key}'" for key, node in graph.nodes.items() if key != node.id)


def _order(graph: FlowGraph) -> Iterator[str]:
    before: set[str] = set()
    for node in graph.nodes.values():
        missing = [source for source, _ in g.reads(node) if source not in before]
        for path in (node.guards, *g.paths(node)):
            # Of a path that a condition stands on itself, this was asked when the condition was met.
            met = bool(path) and path[-1].condition in before and graph.nodes[path[-1].condition].guards == path[:-1]
            missing += [] if met else [guard.condition for guard in path if guard.condition not in before]
        for source in dict.fromkeys(missing):
            yield f"'{node.id}' needs '{source}', which {'comes later' if source in graph.nodes else 'is missing'}"
        before.add(node.id)


def _guards(graph: FlowGraph) -> Iterator[str]:
    wrong = {node.id for node in graph.nodes.values() if node.type is not BOOL and node.type != BOOL}
    for node in graph.nodes.values():
        for guard in graph.gates(node):
            if guard.condition in wrong:
                yield f"'{node.id}' is guarded by '{guard.condition}', a {graph.nodes[guard.condition].type}"


def _inputs(graph: FlowGraph) -> Iterator[str]:
    given = [node.operation.parameter.name for node in graph.nodes.values() if isinstance(node.operation, g.Input)]
    for name in given:
        if given.count(name) > 1:
            yield f"parameter '{name}' has {given.count(name)} nodes"


def _attempts(graph: FlowGraph) -> Iterator[str]:
    found = [node for node in graph.nodes.values() if isinstance(node.operation, g.Attempt)]
    among = [(member, node.id) for node in found for member in node.operation.among]  # type: ignore[union-attr]
    for member, attempt in among:
        if graph.attempts[member] != attempt:
            yield f"'{member}' belongs to the attempts '{attempt}' and '{graph.attempts[member]}'"
    for node in graph.nodes.values():
        if isinstance(node.operation, g.Failure):
            attempt = node.operation.attempt
            if not isinstance(graph.nodes[attempt].operation, g.Attempt):
                yield f"'{node.id}' asks why '{attempt}' failed, which is no attempt"
            elif Guard(attempt, False) not in node.guards:
                yield f"'{node.id}' asks why '{attempt}' failed, and runs where it did not"


def _results(graph: FlowGraph) -> Iterator[str]:
    kinds = {type(node.operation) for node in graph.nodes.values()}
    if g.Return in kinds and g.Expect in kinds:
        yield "a flow returns, a test expects; this graph does both"


def _speculation(graph: FlowGraph) -> Iterator[str]:
    for node in graph.nodes.values():
        if node.speculative and g.has_effect(node.operation):
            yield f"'{node.id}' may start early and has an effect"


def _mocks(graph: FlowGraph) -> Iterator[str]:
    for node in graph.nodes.values():
        if node.mocks and g.callee_of(node.operation) is None:
            yield f"'{node.id}' has mocks and calls nothing"
        if isinstance(node.operation, g.Mocked) and not node.mocks:
            yield f"'{node.id}' is mocked by nothing"


def _inlined(graph: FlowGraph) -> Iterator[str]:
    places = {node_id: place for place, node_id in enumerate(graph.nodes)}
    for call in graph.inlined:
        if call.node not in places or call.first not in places:
            yield f"'{call.node}' or '{call.first}' of a call of '{call.flow}' is missing"
        elif places[call.first] > places[call.node]:
            yield f"the call '{call.node}' of '{call.flow}' ends before it begins"


INVARIANTS: dict[str, Callable[[FlowGraph], Iterator[str]]] = {
    "each node stands under its own id": _ids,
    "what a node needs stands before it": _order,
    "guards are bool": _guards,
    "each parameter has one node": _inputs,
    "a node fails in one attempt": _attempts,
    "a graph returns or expects": _results,
    "what starts early has no effect": _speculation,
    "mocks stand at calls": _mocks,
    "an inlined call is there as a whole": _inlined,
}
"""Name → what is wrong with it. Later ones may rely on those before them."""

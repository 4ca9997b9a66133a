"""The mocks of a test become rules at the calls that come after them; a mocked flow is not run."""

from __future__ import annotations

from dataclasses import replace

from alora_flow.language.meaning.program import Intrinsic, ToolDecl
from alora_flow.language.meaning.relations import assignable, mocked_as, union
from alora_flow.language.meaning.types import STR
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import CalleeMock, FlowGraph, Inlined, MockRule, Node, callee_of, permission_of


def apply_mocks(graph: FlowGraph) -> FlowGraph:
    """In place of the nodes of an inlined flow that is mocked there is one, `Mocked`; the mocks themselves are gone."""
    if not any(isinstance(node.operation, g.Mock) for node in graph.nodes.values()):
        return graph
    mocked = _mocked_flows(graph)
    budgets = tuple(b for b in graph.budgets if not any(b.prefix.startswith(f"{call.node}.") for call in mocked))
    nodes = _without_bodies(graph, mocked)
    mocks: list[g.Mock] = []
    answered: dict[str, Node] = {}
    for node in nodes:
        if isinstance(node.operation, g.Mock):
            mocks.append(node.operation)
        else:
            answered[node.id] = replace(node, mocks=_rules(node, mocks))
    return replace(
        graph, nodes={i: _among(node, answered) for i, node in answered.items()}, budgets=budgets, inlined=()
    )


def _rules(node: Node, mocks: list[g.Mock]) -> tuple[MockRule, ...]:
    """What the mocks before a call say of it, the last one first."""
    callee = callee_of(node.operation)
    if callee is None:
        return ()
    meant = [(at, mock) for at, mock in enumerate(mocks) if mock.callee == callee and _meant(mock, node)]
    return tuple(MockRule(at, mock.arguments, mock.values) for at, mock in reversed(meant)) + _inner(node, mocks)


def _inner(node: Node, mocks: list[g.Mock]) -> tuple[MockRule, ...]:
    """What they say of what is called in the middle of its answer, directly or in turn."""
    if permission_of(node.operation) is None:
        return ()
    meant = [(at, mock) for at, mock in enumerate(mocks) if mock.callee.startswith(CALLABLE_BY_MODELS)]
    return tuple(CalleeMock(at, mock.arguments, mock.values, mock.callee) for at, mock in reversed(meant))


CALLABLE_BY_MODELS = (f"{Intrinsic.__name__} ", f"{ToolDecl.__name__} ")
"""What keys begin with."""


def _meant(mock: g.Mock, node: Node) -> bool:
    """Can all values of a generation's mock be of this call's type? Text is read as that, and so it always can."""
    if not isinstance(node.operation, g.Generate):
        return True
    as_type = node.operation.as_type
    if mock.as_type is not None and mock.as_type != as_type:
        return False
    wanted = STR if as_type is None else union([STR, mocked_as(as_type)])
    return all(assignable(value.type, wanted) for value in mock.values)


def _mocked_flows(graph: FlowGraph) -> list[Inlined]:
    """The calls of flows that stand after a mock of theirs."""
    by_node = {call.node: call for call in graph.inlined}
    seen: set[str] = set()
    found = []
    for node in graph.nodes.values():
        if isinstance(node.operation, g.Mock):
            seen.add(node.operation.callee)
        elif node.id in by_node and callee_of(node.operation) in seen:
            found.append(by_node[node.id])
    return found


def _without_bodies(graph: FlowGraph, mocked: list[Inlined]) -> list[Node]:
    """The nodes, with one for each mocked call in place of those of the flow that it calls."""
    ids = list(graph.nodes)
    places = {node_id: place for place, node_id in enumerate(ids)}
    gone: set[str] = set()
    for call in mocked:
        gone.update(ids[places[call.first] : places[call.node]])
    instead = {call.node: g.Mocked(call.flow, call.arguments) for call in mocked}
    nodes = (node for node in graph.nodes.values() if node.id not in gone)
    return [replace(node, operation=instead.get(node.id, node.operation)) for node in nodes]


def _among(node: Node, nodes: dict[str, Node]) -> Node:
    """What a test counts and an attempt is made of, less what is not there any more."""
    if not isinstance(node.operation, (g.CallCount, g.Figure, g.Attempt)):
        return node
    among = tuple(other for other in node.operation.among if other in nodes)
    return replace(node, operation=replace(node.operation, among=among))

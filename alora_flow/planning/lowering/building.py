"""A graph in the making: where the lowering is, the nodes so far, what is known of callees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.program import Argument, Binding, Expression, FlowDecl
from alora_flow.language.meaning.types import Type
from alora_flow.language.report.source import Span
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Guard, Node, NodeValue, Path

Names = Mapping[int, Expression]
"""What each binding stands for here: a node's value."""


class Place(NamedTuple):
    """Where we are: what must hold, what prefixes the names of nodes, how often each flow is open around us."""

    path: Path
    prefix: str
    depth: Mapping[str, int]
    speculate: bool = False

    def when(self, *guards: Guard) -> Place:
        return self._replace(path=(*self.path, *guards))

    def inside(self, prefix: str) -> Place:
        return self._replace(prefix=f"{self.prefix}{prefix}.")


class State(NamedTuple):
    names: Names
    place: Place

    def bind(self, binding: Binding | None, value: Expression) -> State:
        return self if binding is None else self._replace(names={**self.names, binding.id: value})


class Builder:
    """Nodes and budgets so far, and in a test the mocks that are in force."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.budgets: list[g.Budget] = []
        self.mocks: dict[str, tuple[g.MockRule, ...]] = {}  # callee's key → its rules, the last first

    def add(self, operation: g.Operation, type: Type, place: Place, span: Span, name: str) -> NodeValue:
        """A new node under a readable name, numbered from 2 on where the name repeats."""
        stem = node_id = f"{place.prefix}{name}"
        number = 1
        while node_id in self.nodes:
            number += 1
            node_id = f"{stem}_{number}"
        mocks = self.mocks.get(callee_of(operation) or "", ())
        eager = place.speculate and bool(place.path) and _effectless(operation)
        self.nodes[node_id] = Node(node_id, operation, type, place.path, span, mocks, eager)
        return NodeValue(type, span, node_id)

    def budget(self, flow: FlowDecl, prefix: str) -> None:
        """A flow's budget counts for the nodes that are inlined under the prefix."""
        if flow.budget:
            self.budgets.append(g.Budget(flow.name, prefix, flow.budget))

    def mock(self, key: str, arguments: tuple[Argument, ...], values: tuple[Expression, ...]) -> None:
        """A rule for all calls of a callee that come from here on."""
        number = sum(map(len, self.mocks.values()))
        self.mocks[key] = (g.MockRule(number, arguments, values), *self.mocks.get(key, ()))


def alive(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Without pure nodes that nothing reads, like what the last round of a `repeat` hands on to none."""
    alive: dict[str, Node] = {}
    needed: set[str] = set()
    for node in reversed(list(nodes.values())):
        if node.id in needed or not isinstance(node.operation, (g.Value, g.Thread, g.Merge)):
            alive[node.id] = node
            needed |= {source for source, _ in g.reads(node)} | {guard.condition for guard in g.guards(node)}
    return dict(reversed(list(alive.items())))


def key_of(target: p.Callee) -> str:
    """What mocks and counts know a callee by."""
    return target if isinstance(target, str) else f"{type(target).__name__} {target.key}"


def callee_of(operation: g.Operation) -> str | None:
    """The key of what a node calls."""
    match operation:
        case g.Generate():
            return "generate"
        case g.Invoke(intrinsic=intrinsic):
            return key_of(intrinsic)
        case g.Tool(tool=tool):
            return key_of(tool)
        case g.Mocked(flow=str() as flow) | g.Select(flow=str() as flow):
            return f"{FlowDecl.__name__} {flow}"
    return None


def _effectless(operation: g.Operation) -> bool:
    """May it run for nothing?"""
    if isinstance(operation, g.Tool):
        return operation.tool.pure
    return isinstance(operation, (g.Generate, g.Invoke, g.Value, g.Thread, g.Condition))

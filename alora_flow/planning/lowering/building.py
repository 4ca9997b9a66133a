"""A graph in the making: where the lowering is, the nodes so far, what is known of callees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alora_flow.errors import BadInput
from alora_flow.language.meaning.program import Binding, Expression, FlowDecl
from alora_flow.language.meaning.types import Type
from alora_flow.language.report.source import Span
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Guard, Node, NodeValue, Path

Names = Mapping[int, Expression]
"""What each binding stands for here: a node's value."""


MOST_NODES = 30_000
"""Of a graph: more take minutes to plan, and nobody can look at them."""

MOST_CALLS = 100
"""Of flows inside each other."""

DEEPEST = 50_000
"""How deep the calls of Python's own functions may go: a call of a flow inside an expression takes a dozen and more."""


class Place(NamedTuple):
    """Where we are: what must hold, what prefixes the names of nodes, how often each flow is open around us."""

    path: Path
    prefix: str
    depth: Mapping[str, int]
    speculate: bool = False

    def when(self, *guards: Guard) -> Place:
        return Place((*self.path, *guards), self.prefix, self.depth, self.speculate)

    def inside(self, prefix: str) -> Place:
        return Place(self.path, f"{self.prefix}{prefix}.", self.depth, self.speculate)


class LoweringState(NamedTuple):
    names: Names
    place: Place

    def at(self, place: Place) -> LoweringState:
        return LoweringState(self.names, place)

    def bind(self, binding: Binding | None, value: Expression) -> LoweringState:
        return self if binding is None else LoweringState({**self.names, binding.id: value}, self.place)


class GraphBuilder:
    """Nodes, budgets and inlined calls so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.budgets: list[g.Budget] = []
        self.inlined: list[g.Inlined] = []
        self._used: dict[str, int] = {}  # name → how many nodes and groups of nodes bear it

    def name(self, place: Place, name: str) -> str:
        """A readable name that nothing else has, numbered from 2 on where it repeats; without the place's prefix."""
        stem, unique = f"{place.prefix}{name}", name
        while f"{place.prefix}{unique}" in self._used:
            self._used[stem] += 1
            unique = f"{name}_{self._used[stem]}"
        self._used[f"{place.prefix}{unique}"] = 1
        return unique

    def add(self, operation: g.Operation, type: Type, place: Place, span: Span, name: str) -> NodeValue:
        """A new node under a readable name."""
        return self.put(operation, type, place, span, self.name(place, name))

    def put(self, operation: g.Operation, type: Type, place: Place, span: Span, name: str) -> NodeValue:
        """A new node under a name that `name` gave."""
        if len(self.nodes) == MOST_NODES:
            said = f"with its loops and calls unrolled this has more than {MOST_NODES:,} nodes"
            raise _too_large(said, "lower a loop's limit or a flow's max_depth", span)
        node_id = f"{place.prefix}{name}"
        eager = place.speculate and bool(place.path) and _effectless(operation)
        self.nodes[node_id] = Node(node_id, operation, type, place.path, span, speculative=eager)
        return NodeValue(type, span, node_id)

    def graph(self, flow: FlowDecl) -> g.FlowGraph:
        """What was built."""
        return g.FlowGraph(flow, self.nodes, tuple(self.budgets), tuple(self.inlined))

    def budget(self, flow: FlowDecl, prefix: str) -> None:
        """A flow's budget counts for the nodes that are inlined under the prefix."""
        if flow.budget:
            self.budgets.append(g.Budget(flow.name, prefix, flow.budget))


def check_depth(calls: int, span: Span) -> None:
    """Raises BadInput for a call of a flow inside more calls than lowering can follow."""
    if calls > MOST_CALLS:
        raise _too_large(f"flows call each other more than {MOST_CALLS} deep", "let one flow do what several do", span)


def too_deep(span: Span) -> BadInput:
    """For calls that stand deep inside expressions, each of them."""
    return _too_large("flows call each other too deep inside expressions", "bind what they give with 'let'", span)


def _too_large(said: str, help: str, span: Span) -> BadInput:
    error = BadInput(f"line {span.line}: {said}", help)
    error.places = (span,)
    return error


def _effectless(operation: g.Operation) -> bool:
    """May it run for nothing?"""
    kinds = (g.Tool, g.Generate, g.Invoke, g.Value, g.Thread, g.Condition)
    return isinstance(operation, kinds) and not g.has_effect(operation)

"""A flow as a graph: what runs, what each node reads, and what must hold before it may run.

Loops are unrolled and flow calls inlined, so the graph that is drawn is the graph that runs. A node runs when every
node that it reads is decided and all its guards hold; a guard that does not hold skips the node and all behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from functools import cached_property
from typing import Literal as OneOf
from typing import TypeAlias

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import (
    Argument,
    Callee,
    Expression,
    FieldAccess,
    FlowDecl,
    Index,
    Intrinsic,
    Join,
    Limit,
    MayInvoke,
    Parameter,
    TestDecl,
    ToolDecl,
)
from alora_flow.language.meaning.types import NONE, ChatType, ReplyType, ThreadType, Type
from alora_flow.language.report.source import Span
from alora_flow.planning.graph.walk import every

EdgeKind = OneOf["data", "thread", "guard"]


@dataclass(frozen=True, slots=True)
class Guard:
    """Node `condition` came out as `holds`."""

    condition: str
    holds: bool = True


Path: TypeAlias = tuple[Guard, ...]
"""All of these guards hold; the empty path always does."""


@dataclass(frozen=True, slots=True)
class NodeValue(Expression):
    """The value of another node, where the program had a name or a call."""

    node: str


# ------------------------------------------------- what a node does, one class a kind


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter of the flow: given by the caller, else its default."""

    parameter: Parameter


@dataclass(frozen=True, slots=True)
class Value:
    """A pure expression with a name: `let x = a + b`."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread with a name: `thread ask = system("…") + user(question)`."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Condition:
    """A bool that guards other nodes."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Generate:
    """The base model writes on a thread: `generate(max_tokens: 128) on grounded`."""

    thread: Expression
    settings: tuple[Argument, ...]
    as_type: Type | None
    may_invoke: MayInvoke | None


@dataclass(frozen=True, slots=True)
class Invoke:
    """An intrinsic runs on a branch of a thread: `safety() on ask`."""

    thread: Expression
    intrinsic: Intrinsic
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """Python is called: `search(query)`."""

    tool: ToolDecl
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """True when one of these paths was taken: code after an `if` of which only some ways return."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """The value whose path was taken: the result of an inlined flow (then `flow` is its key), or of a `repeat`."""

    choices: tuple[tuple[Path, Expression], ...]
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class Collect:
    """The values whose paths were taken, in order: the result of a `for`."""

    items: tuple[tuple[Path, Expression], ...]


@dataclass(frozen=True, slots=True)
class Require:
    """`require c else "message"`: true, or the run fails."""

    condition: Expression
    message: Expression | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """True when `value` is there and none of the nodes `among` that it takes has failed; false as soon as one has, and
    the others are skipped."""

    value: Expression
    among: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What the first node said that failed in an attempt."""

    attempt: str


@dataclass(frozen=True, slots=True)
class TooDeep:
    """Where a flow would call itself beyond its `max_depth`: the run fails if it comes here."""

    flow: str
    max_depth: int


@dataclass(frozen=True, slots=True)
class Return:
    """`return Answer(…)`"""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Mock:
    """`mock search(q: "x") = [] then found` in a test, for the calls of `callee` (a key of `callee_of`) after it.

    The pass "mocking" turns it into rules at these calls. `as_type`: of generations, only those of this type.
    """

    callee: str
    arguments: tuple[Argument, ...]
    values: tuple[Expression, ...]
    as_type: Type | None = None


@dataclass(frozen=True, slots=True)
class Mocked:
    """A call of a flow for which a test has mocks."""

    flow: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class CallCount:
    """`calls(search)` in a test: how often `callee` (a key of `callee_of`) was called by those `among`, which are calls
    of it, or answers in the middle of which a model may call it."""

    callee: str
    among: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """`plan.reused` in a test: a figure of the model calls `among`."""

    name: str
    among: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect r is Refusal` in a test: true, or the test fails."""

    condition: Expression


Operation: TypeAlias = (
    Input
    | Value
    | Thread
    | Condition
    | Generate
    | Invoke
    | Tool
    | Merge
    | Select
    | Collect
    | Require
    | Attempt
    | Failure
    | TooDeep
    | Return
    | Mock
    | Mocked
    | CallCount
    | Figure
    | Expect
)

MODEL_CALLS = (Generate, Invoke)


@dataclass(frozen=True, slots=True)
class MockRule:
    """`mock search(q: "x") = [] then found`: what a test has a call give instead. `number`: its place among the mocks
    of the test."""

    number: int
    arguments: tuple[Argument, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class CalleeMock(MockRule):
    """The same for what a generation calls itself: `callee` is a key of `callee_of`."""

    callee: str


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `id` is readable and unique: the bound name, or the callee's, with a number where it repeats.

    `mocks`: in a test, the rules for this call, the one that wins first. `speculative`: may start before its guards are
    decided, since it has no effect but its cost.
    """

    id: str
    operation: Operation
    type: Type
    guards: Path
    span: Span = field(compare=False, repr=False)
    mocks: tuple[MockRule, ...] = ()
    speculative: bool = False
    _reads: tuple[tuple[str, EdgeKind], ...] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def kind(self) -> str:
        return type(self.operation).__name__.lower()


@dataclass(frozen=True, slots=True)
class Budget:
    """`budget { invokes <= 24 }` of a flow, for the nodes whose ids begin with `prefix`."""

    flow: str
    prefix: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Inlined:
    """A called flow in place of its call: the nodes from `first` on up to the Select `node`, which gives its result."""

    flow: str
    arguments: tuple[Argument, ...]
    first: str
    node: str


@dataclass(frozen=True)
class FlowGraph:
    """The graph of one flow; `nodes` in the order of the source, which is a topological order.

    `inlined`: the calls of flows as lowering leaves them, for the passes that treat one as a whole.
    """

    flow: FlowDecl
    nodes: Mapping[str, Node]
    budgets: tuple[Budget, ...] = ()
    inlined: tuple[Inlined, ...] = ()

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The nodes that read each or wait for it, each once, in the order of the source."""
        found: dict[str, list[str]] = {node_id: [] for node_id in self.nodes}
        for node in self.nodes.values():
            for source in {source for source, _ in reads(node)} | {guard.condition for guard in self.gates(node)}:
                found[source].append(node.id)
        return {node_id: tuple(readers) for node_id, readers in found.items()}

    def gates(self, node: Node) -> tuple[Guard, ...]:
        """What decides whether the node runs, and on which of the paths that it chooses among."""
        others = paths(node)
        if not others:
            return self.last(node.guards)
        return tuple(dict.fromkeys(guard for path in (node.guards, *others) for guard in self.last(path)))

    def last(self, path: Path) -> tuple[Guard, ...]:
        """The guards of a path that no later one implies: a condition is decided only where its own guards hold. After
        a thousand early returns that is one guard."""
        if len(path) < 2:
            return path
        found: list[Guard] = []
        while path:
            found.append(path[-1])
            implied, path = self.nodes[path[-1].condition].guards, path[:-1]
            if path[: len(implied)] == implied:
                path = path[len(implied) :]
        return tuple(reversed(found))

    @cached_property
    def attempts(self) -> Mapping[str, str]:
        """By node, where it belongs to an attempt: the innermost one. An attempt may belong to another."""
        return {
            member: node.id
            for node in self.nodes.values()
            if isinstance(node.operation, Attempt)
            for member in node.operation.among
        }

    def attempted(self, attempt: str) -> Iterator[Node]:
        """All nodes that belong to an attempt, those of attempts inside it too."""
        operation = self.nodes[attempt].operation
        assert isinstance(operation, Attempt)
        for member in operation.among:
            yield self.nodes[member]
            if isinstance(self.nodes[member].operation, Attempt):
                yield from self.attempted(member)

    @property
    def model_calls(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes.values() if isinstance(node.operation, MODEL_CALLS))


def flow_of_test(test: TestDecl) -> FlowDecl:
    """A test as a flow without parameters and without a result."""
    return FlowDecl(test.key, test.name, test.doc, test.span, (), NONE, test.body, None, False, ())


def reads(node: Node) -> tuple[tuple[str, EdgeKind], ...]:
    """The nodes whose values a node reads, each once, with the kind of the edge; what it goes on from comes first."""
    if node._reads is None:
        object.__setattr__(node, "_reads", tuple(_found(node)))
    return node._reads or ()


def _found(node: Node) -> Iterable[tuple[str, EdgeKind]]:
    found: dict[str, EdgeKind] = dict.fromkeys(_extended(node.operation), "thread")
    for value in node_values((node.operation, node.mocks)):
        found.setdefault(value.node, "data")
    if isinstance(node.operation, (CallCount, Figure, Attempt)):
        found.update(dict.fromkeys(node.operation.among, "data"))
    if isinstance(node.operation, Failure):
        found[node.operation.attempt] = "data"
    return found.items()


def _extended(operation: Operation) -> Iterator[str]:
    """The nodes whose turns a thread or a call goes on from."""
    match operation:
        case Thread(expression) | Generate(thread=expression) | Invoke(thread=expression):
            yield from _turns_of(expression)


def _turns_of(expression: Expression) -> Iterator[str]:
    match expression:
        case Join(parts=parts):
            for part in parts:
                yield from _turns_of(part)
        case FieldAccess(target=NodeValue(node=node) | Index(target=NodeValue(node=node)), name="thread"):
            yield node
        case NodeValue(node=node, type=ThreadType() | ChatType() | ReplyType()):
            yield node


def guards(node: Node) -> tuple[Guard, ...]:
    """The node's own guards, and those of the paths that it chooses among."""
    return tuple(dict.fromkeys(guard for path in (node.guards, *paths(node)) for guard in path))


def paths(node: Node) -> tuple[Path, ...]:
    """The paths that a node chooses among."""
    match node.operation:
        case Merge(paths):
            return paths
        case Select(choices):
            return tuple(path for path, _ in choices)
        case Collect(items):
            return tuple(path for path, _ in items)
    return ()


def node_values(part: object) -> Iterator[NodeValue]:
    """Every NodeValue inside an operation or expression, at any depth."""
    return (item for item in every((part,)) if isinstance(item, NodeValue))


def key_of(target: Callee) -> str:
    """What mocks and counts know a callee by."""
    return target if isinstance(target, str) else f"{type(target).__name__} {target.key}"


def permission_of(operation: Operation) -> MayInvoke | None:
    """What may be called in the middle of an answer."""
    match operation:
        case Generate(may_invoke=may) | Invoke(intrinsic=Intrinsic(may_invoke=may)):
            return may
    return None


def called_within(operation: Operation) -> tuple[Intrinsic | ToolDecl, ...]:
    """All that may be called in the middle of an answer, directly or in turn, each once."""
    may = permission_of(operation)
    found = {one.key: one for one in may.callees} if may else {}
    waiting = [*found.values()]
    for one in waiting:  # which grows
        inner = one.may_invoke if isinstance(one, Intrinsic) else None
        new = [other for other in inner.callees if other.key not in found] if inner else []
        found |= {other.key: other for other in new}
        waiting += new
    return tuple(found.values())


def tools_of(operation: Operation) -> list[ToolDecl]:
    """The tool that it calls, or those that a model may call in the middle of it."""
    called = [operation.tool] if isinstance(operation, Tool) else called_within(operation)
    return [tool for tool in called if isinstance(tool, ToolDecl)]


def has_effect(operation: Operation) -> bool:
    """Does it call a tool that is not pure, or may a model call one in it?"""
    return not all(tool.pure for tool in tools_of(operation))


def callee_of(operation: Operation) -> str | None:
    """The key of what a node calls."""
    match operation:
        case Generate():
            return "generate"
        case Invoke(intrinsic=intrinsic):
            return key_of(intrinsic)
        case Tool(tool=tool):
            return key_of(tool)
        case Mocked(flow=str() as flow) | Select(flow=str() as flow):
            return f"{FlowDecl.__name__} {flow}"
    return None

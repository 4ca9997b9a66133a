"""A flow's graph as boxes and arrows: what DOT, Mermaid, SVG and the terminal have in common.

All text is made fit to print here, once: one line, no control characters. Formats only escape it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alora_flow.frozen import dataclass
from alora_flow.language.meaning import program as p
from alora_flow.planning.describing import describe
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Guard, Node
from alora_flow.planning.prefix.plan import PlannedCall

MOST_LETTERS = 30
"""Of a box's second line; the whole text is kept for tooltips."""


@dataclass(frozen=True)
class InnerBox:
    """A call that a model may make in the middle of an answer, drawn inside whoever makes it. `kind`: as of a node."""

    label: str
    kind: str
    detail: str
    inner: tuple[InnerBox, ...] = ()


@dataclass(frozen=True)
class Box:
    """A node. `label` is its id, `detail` what it does, shortened; `whole` the same at full length, with its doc.
    `inner`: what may be called in the middle of its answer."""

    id: str
    kind: str
    label: str
    detail: str
    whole: str
    inner: tuple[InnerBox, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """From one node to another: `kind` is "data", "thread" or "guard"; a guard is labelled "yes" or "no"."""

    source: str
    target: str
    kind: str
    label: str = ""


@dataclass(frozen=True)
class Drawing:
    """Boxes in the order of the source, and the arrows between them by target."""

    title: str
    signature: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    doc: str = ""


def draw(graph: FlowGraph, doc: str = "") -> Drawing:
    """The drawing of a graph, with what its flow is for."""
    boxes = tuple(_box(node) for node in graph.nodes.values())
    arrows = tuple(arrow for node in graph.nodes.values() for arrow in _arrows(node, graph))
    return Drawing(tidy(graph.flow.name), signature(graph), boxes, arrows, tidy(doc))


def signature(graph: FlowGraph) -> str:
    """`safety_rag(question: str, history: chat) -> Answer | Refusal`"""
    parameters = ", ".join(f"{parameter.name}: {parameter.type}" for parameter in graph.flow.parameters)
    return tidy(f"{graph.flow.name}({parameters}) -> {graph.flow.result}")


def tidy(text: str) -> str:
    """One line of printable characters."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def shorten(text: str, most: int = MOST_LETTERS) -> str:
    """At most `most` letters, the last one a `…` where something was cut."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


# -------------------------------------------------------------- what a node does


def _source(node: Node) -> str:
    """The source text; what lowering made of a loop's source is described, for it has no text of its own."""
    expression = getattr(node.operation, "expression", None)
    match expression:
        case p.Binary(left=left, operator=operator, right=p.Literal(value=right)) if left.span == expression.span:
            return f"{describe(left)} {operator} {right}"
        case p.Index(target=target) if target.span == expression.span:
            return describe(expression)
    return node.span.text


def _input(node: Node, operation: g.Input) -> str:
    return f"{node.type}{operation.parameter.said_default}"


def _generate(node: Node, operation: g.Generate) -> str:
    gives = f"generate() → {operation.as_type or node.type}{_within(operation.settings)}"
    return gives if operation.may_invoke is None else f"{gives}, ≤ {operation.may_invoke.budget} calls"


def _within(settings: Sequence[p.Argument]) -> str:
    """How long a call may take."""
    return "".join(f" within {item.value.span.text}" for item in settings if item.name == "timeout")


_DETAILS: dict[type[Any], Callable[[Node, Any], str]] = {
    g.Input: _input,
    g.Generate: _generate,
    g.Invoke: lambda node, operation: (
        f"{operation.intrinsic.name}() → {node.type}{_within(operation.intrinsic.settings)}"
    ),
    g.Tool: lambda node, operation: f"{operation.tool.name}() → {node.type}",
    g.Merge: lambda node, operation: "one of its ways was taken",
    g.Select: lambda node, operation: f"the one that ran → {node.type}",
    g.Collect: lambda node, operation: f"all that ran → {node.type}",
    g.Attempt: lambda node, operation: "nothing of it failed",
    g.Failure: lambda node, operation: "what failed",
    g.Require: lambda node, operation: operation.condition.span.text,
    g.TooDeep: lambda node, operation: f"{operation.flow} deeper than {operation.max_depth}",
    g.Return: lambda node, operation: operation.expression.span.text,
}


def detail(node: Node) -> str:
    """What a node does in a few words: what it calls and gives, or its source text."""
    rule = _DETAILS.get(type(node.operation))
    return tidy(_source(node) if rule is None else rule(node, node.operation))


def extended(call: PlannedCall) -> str:
    """The thread that a call runs on: its node where it has one, else the source text."""
    match getattr(call.node.operation, "thread", None):
        case g.NodeValue(node=node) | p.FieldAccess(target=g.NodeValue(node=node), name="thread"):
            return tidy(node)
    return tidy(call.extends)


def _box(node: Node) -> Box:
    what = detail(node)
    doc = _doc(node)
    whole = f"{what} – {doc}" if doc else what
    return Box(node.id, node.kind, tidy(node.id), shorten(what), whole, tuple(inner_boxes(node.operation)))


def kinds(boxes: Iterable[Box | InnerBox]) -> Iterator[str]:
    """Those of boxes and of all inside them."""
    for box in boxes:
        yield box.kind
        yield from kinds(box.inner)


def inner_boxes(operation: g.Operation) -> Iterator[InnerBox]:
    """What may be called in the middle of an answer; a circle of calls is drawn once round."""
    own = (operation.intrinsic.key,) if isinstance(operation, g.Invoke) else ()
    yield from _inner(g.permission_of(operation), own)


def _inner(may: p.MayInvoke | None, callers: tuple[str, ...]) -> Iterator[InnerBox]:
    for one in may.callees if may else ():
        kind = "tool" if isinstance(one, p.ToolDecl) else "invoke"
        further = one.may_invoke if isinstance(one, p.Intrinsic) and one.key not in callers else None
        inside = tuple(_inner(further, (*callers, one.key)))
        yield InnerBox(tidy(one.name), kind, shorten(tidy(f"{one.name}() → {one.result}")), inside)


def _doc(node: Node) -> str:
    """The documentation of what a node calls."""
    match node.operation:
        case g.Invoke(intrinsic=called) | g.Tool(tool=called):
            return tidy(called.doc)
    return ""


# ---------------------------------------------------------------------- arrows


def _arrows(node: Node, graph: FlowGraph) -> Iterator[Arrow]:
    for source, kind in _drawn_reads(node, graph):
        yield Arrow(source, node.id, kind)
    for guard in drawn_guards(node, graph):
        yield Arrow(guard.condition, node.id, "guard", "yes" if guard.holds else "no")


def _drawn_reads(node: Node, graph: FlowGraph) -> Iterable[tuple[str, g.EdgeKind]]:
    """What a node reads; of an attempt only the members that no other member needs: the others follow from these."""
    if not isinstance(node.operation, g.Attempt):
        return g.reads(node)
    members = [graph.nodes[member] for member in node.operation.among]
    needed = {source for member in members for source, _ in g.reads(member)}
    needed |= {guard.condition for member in members for guard in g.guards(member)}
    return [(source, kind) for source, kind in g.reads(node) if source not in needed]


def drawn_guards(node: Node, graph: FlowGraph) -> Iterator[Guard]:
    """The guards of a node that no node before it has already: those follow from the arrows that are drawn."""
    gates = graph.gates(node)  # none of which implies another of its path, however many returns stand before
    before = [graph.nodes[source].guards for source, _ in g.reads(node)] if gates else []
    implied = {(guard.condition, guard.holds) for path in before for guard in path}
    for guard in reversed(gates if len(gates) > 1 else ()):  # one that is implied implies nothing more
        if (guard.condition, guard.holds) not in implied:
            implied.update((other.condition, other.holds) for other in graph.nodes[guard.condition].guards)
    return (guard for guard in gates if (guard.condition, guard.holds) not in implied)

"""A drawing in which a loop is one box with its bound, a recursion likewise, and where ways only meet there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from alora_flow.frozen import dataclass
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Node
from alora_flow.views.drawing import Arrow, Box, Drawing, shorten

ROUND = re.compile(r"(.+?)\[(\d+)\]\.")
"""Of a node's id: the loop around it, outermost first, and the round that it belongs to."""

MOST_NAMES = 4
"""Calls that a box names; more are counted."""


@dataclass(frozen=True)
class Fold:
    """Nodes that one box stands for: the node `id` that has their value, and what they are."""

    id: str
    kind: str
    bound: str


def folds(graph: FlowGraph) -> Mapping[str, Fold]:
    """For every node inside a loop or a recursion, and for the one that has its value, the outermost fold."""
    found: dict[str, Fold] = {}
    for outer in _folds(graph):
        found.setdefault(outer.id, outer)
    return {node_id: fold for node_id in graph.nodes if (fold := _outermost(node_id, found)) is not None}


def _outermost(node_id: str, found: Mapping[str, Fold]) -> Fold | None:
    """The fold whose id is the shortest beginning of this one, up to a `.` or a `[`."""
    for end, letter in enumerate(node_id):
        if letter in ".[" and node_id[:end] in found:
            return found[node_id[:end]]
    return found.get(node_id)


def _folds(graph: FlowGraph) -> Iterator[Fold]:
    rounds: dict[str, int] = {}
    for node_id in graph.nodes:
        at = 0
        while match := ROUND.match(node_id, at):
            loop = node_id[: match.end(1)]
            rounds[loop] = max(rounds.get(loop, 0), int(match[2]) + 1)
            at = match.end()
    for node in graph.nodes.values():
        count = rounds.get(node.id)
        match node.operation:
            case g.Collect() if count and f"{node.id}[0].there" not in graph.nodes:
                yield Fold(node.id, "collect", f"{count} samples")
            case g.Collect() if count:
                yield Fold(node.id, "collect", f"for each of up to {count}")
            case g.Select(flow=None) if count:
                yield Fold(node.id, "select", f"up to {count} rounds")
            case g.Select(flow=str() as flow):
                depth = _depth(graph, node, flow)
                if depth > 1:
                    yield Fold(node.id, "select", f"{flow}, up to {depth} deep")


def _depth(graph: FlowGraph, node: Node, flow: str) -> int:
    """How often a flow stands inside itself below a node."""
    inner = (n.id for n in graph.nodes.values() if isinstance(n.operation, g.Select) and n.operation.flow == flow)
    below = [node_id for node_id in inner if node_id.startswith(f"{node.id}.")]
    return 1 + max((1 + sum(one.startswith(f"{other}.") for other in below) for one in below), default=0)


def fold(drawing: Drawing, graph: FlowGraph) -> Drawing:
    """The drawing with a box for each outermost loop and recursion, and without merges."""
    of = folds(graph)
    names = {node_id: of[node_id].id if node_id in of else node_id for node_id in graph.nodes}
    boxes = [
        _folded(box, of[box.id], graph) if box.id in of else box for box in drawing.boxes if names[box.id] == box.id
    ]
    kept = _contracted(_renamed(drawing.arrows, names), {box.id for box in boxes if box.kind == "merge"})
    return replace(drawing, boxes=tuple(box for box in boxes if box.kind != "merge"), arrows=tuple(kept))


def _folded(box: Box, fold: Fold, graph: FlowGraph) -> Box:
    inside = (node for node in graph.nodes.values() if node.id.startswith((f"{fold.id}[", f"{fold.id}.")))
    calls = list(dict.fromkeys(name for node in inside for name in _called(node)))
    named = calls if len(calls) <= MOST_NAMES else [*calls[: MOST_NAMES - 1], f"{len(calls) - MOST_NAMES + 1} more"]
    what = f"{fold.bound}: {', '.join(named)}" if named else fold.bound
    return replace(box, kind="loop", detail=shorten(what, 44), whole=what)


def _called(node: Node) -> Iterator[str]:
    """What a node calls, and what may be called in the middle of its answer."""
    match node.operation:
        case g.Generate():
            yield "generate"
        case g.Invoke(intrinsic=called) | g.Tool(tool=called):
            yield called.name
    yield from (called.name for called in g.called_within(node.operation))


def _renamed(arrows: Iterable[Arrow], names: Mapping[str, str]) -> list[Arrow]:
    """Between folds; of several that become one, a guard without its label where they say both yes and no."""
    found: dict[tuple[str, str, str], Arrow] = {}
    for arrow in arrows:
        source, target = names[arrow.source], names[arrow.target]
        key = source, target, arrow.kind
        if source != target:
            label = arrow.label if key not in found or found[key].label == arrow.label else ""
            found[key] = Arrow(source, target, arrow.kind, label)
    return list(found.values())


def _contracted(arrows: list[Arrow], hidden: set[str]) -> list[Arrow]:
    """What leads to a hidden box leads to what comes after it."""
    for name in hidden:
        into = [arrow for arrow in arrows if arrow.target == name]
        out = [arrow for arrow in arrows if arrow.source == name]
        past = [replace(one, target=other.target) for one in into for other in out if one.source != other.target]
        arrows = [*(arrow for arrow in arrows if name not in (arrow.source, arrow.target)), *past]
    return list(dict.fromkeys(arrows))

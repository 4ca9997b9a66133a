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
    depths = _depths(graph)
    for node in graph.nodes.values():
        count = rounds.get(node.id)
        match node.operation:
            case g.Collect() if count and f"{node.id}[0].there" not in graph.nodes:
                yield Fold(node.id, "collect", f"{count} samples")
            case g.Collect() if count:
                yield Fold(node.id, "collect", f"for each of up to {count}")
            case g.Select(flow=None) if count:
                yield Fold(node.id, "select", f"up to {count} rounds")
            case g.Select(flow=str() as flow) if depths[node.id] > 1:
                yield Fold(node.id, "select", f"{flow}, up to {depths[node.id]} deep")


def _depths(graph: FlowGraph) -> Mapping[str, int]:
    """For the value of each called flow: how deep that flow stands inside itself there, 1 where it does not."""
    flows = {node.id: node.operation.flow for node in graph.nodes.values() if isinstance(node.operation, g.Select)}
    depths = {node_id: 1 for node_id, flow in flows.items() if flow is not None}
    for node_id in sorted(depths, key=len, reverse=True):  # what is inside has the longer id
        outer = _around(node_id, flows)
        if outer is not None:
            depths[outer] = max(depths[outer], depths[node_id] + 1)
    return depths


def _around(node_id: str, flows: Mapping[str, str | None]) -> str | None:
    """The nearest value of the same flow that a node is inside of."""
    end = node_id.rfind(".")
    while end > 0 and flows.get(node_id[:end]) != flows[node_id]:
        end = node_id.rfind(".", 0, end)
    return node_id[:end] if end > 0 else None


def fold(drawing: Drawing, graph: FlowGraph) -> Drawing:
    """The drawing with a box for each outermost loop and recursion, and without merges."""
    of = folds(graph)
    names = {node_id: of[node_id].id if node_id in of else node_id for node_id in graph.nodes}
    calls: dict[str, dict[str, None]] = {}
    for node in graph.nodes.values():
        if node.id in of:
            calls.setdefault(names[node.id], {}).update(dict.fromkeys(_called(node)))
    boxes = [
        _folded(box, of[box.id], list(calls.get(box.id, ()))) if box.id in of else box
        for box in drawing.boxes
        if names[box.id] == box.id
    ]
    kept = _contracted(_renamed(drawing.arrows, names), [box.id for box in boxes if box.kind == "merge"])
    return replace(drawing, boxes=tuple(box for box in boxes if box.kind != "merge"), arrows=tuple(kept))


def _folded(box: Box, fold: Fold, calls: list[str]) -> Box:
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


def _contracted(arrows: list[Arrow], hidden: list[str]) -> list[Arrow]:
    """What leads to a hidden box leads to what comes after it; `hidden` in the order of the graph."""
    into: dict[str, dict[Arrow, None]] = {name: {} for name in hidden}
    by_target: dict[str, list[Arrow]] = {}
    for arrow in arrows:
        by_target.setdefault(arrow.target, []).append(arrow)

    def past(arrow: Arrow) -> Iterator[Arrow]:
        found = into.get(arrow.source, {arrow: None})
        return (replace(one, target=arrow.target) for one in found if one.source != arrow.target)

    for name in hidden:
        into[name] = {one: None for arrow in by_target.get(name, ()) for one in past(arrow)}
    return list(dict.fromkeys(one for arrow in arrows if arrow.target not in into for one in past(arrow)))

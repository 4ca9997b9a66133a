"""In which order effects happen: that of the source, but for the elements of a `for`, which are side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from alora_flow.planning.graph.nodes import Collect, FlowGraph, Node, has_effect

Ids = tuple[str, ...]


def effects_before(graph: FlowGraph) -> Mapping[str, Ids]:
    """By node that has an effect, those that are decided before it begins, so that all before it in the source are: a
    tool that is not pure, or a generation in which a model may call one."""
    tools = [node for node in graph.nodes.values() if has_effect(node.operation)]
    before: dict[str, Ids] = {}

    def note(tools: Sequence[tuple[Node, Ids]], earlier: Sequence[Node]) -> list[Node]:
        """What each tool waits for, where `earlier` ones come before them all. Returns these and the tools."""
        passed = list(earlier)
        for loop, inside in groupby(tools, lambda tool: _loop(tool[1][0]) if tool[1] else None):
            if loop is None:
                for tool, _ in inside:
                    before[tool.id] = tuple(_waited_for(tool, passed, graph))
                    passed.append(tool)
            else:
                elements = [list(element) for _, element in groupby(inside, lambda tool: tool[1][0])]
                ends = [note([(tool, within[1:]) for tool, within in each], passed) for each in elements]
                passed += [tool for end in ends for tool in end[len(passed) :]]
        return passed

    note([(tool, _elements(tool.id, graph)) for tool in tools], [])
    return before


def _waited_for(tool: Node, earlier: Sequence[Node], graph: FlowGraph) -> Iterator[str]:
    """From the last one back to one that runs wherever the tool does. Any other may be skipped, and is decided then,
    while what is before it still runs."""
    attempts = graph.attempts
    for other in reversed(earlier):
        yield other.id
        always = tool.guards[: len(other.guards)] == other.guards
        if always and attempts.get(other.id) in (None, attempts.get(tool.id)):
            return


def _elements(node_id: str, graph: FlowGraph) -> Ids:
    """The elements of loops that a node is in, from the outermost on: `for[2]`, `for[2].inner[0]`."""
    places = (node_id[: match.end()] for match in re.finditer(r"\[\d+\]", node_id))
    return tuple(place for place in places if isinstance(graph.nodes[_loop(place)].operation, Collect))


def _loop(element: str) -> str:
    return element[: element.rindex("[")]

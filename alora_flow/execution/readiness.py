"""Which nodes of a run can start: each once all is decided that it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from heapq import heapify, heappop, heappush

from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.effects import effects_before
from alora_flow.planning.graph.nodes import Guard, Node
from alora_flow.planning.schedule import Schedule


class Readiness:
    """A node waits for what it reads, for its guards and those of what it stands in, and a tool for the effects before
    it in the source. A speculative one waits for what it reads alone, and for its having a value."""

    def __init__(self, schedule: Schedule) -> None:
        graph = schedule.graph
        nodes = graph.nodes.values()
        self._nodes, self._ranks = graph.nodes, schedule.ranks
        self._eager = {node.id for node in nodes if node.speculative}
        self._guards = {node.id: graph.last(node.guards) for node in nodes}
        earlier = effects_before(graph)
        later: dict[str, list[str]] = {}
        for tool, others in earlier.items():
            for other in others:
                later.setdefault(other, []).append(tool)
        self._readers = {id: (*readers, *later.get(id, ())) for id, readers in graph.readers.items()}
        self._needs = {node.id: {source for source, _ in g.reads(node)} for node in nodes}
        for node in nodes:
            if node.id not in self._eager:
                conditions = (guard.condition for guard in graph.gates(node))
                self._needs[node.id] |= {*conditions, *earlier.get(node.id, ())}
        self._ready = [(self._ranks[id], id) for id, needs in self._needs.items() if not needs]
        heapify(self._ready)

    def __bool__(self) -> bool:
        """Can a node start?"""
        return bool(self._ready)

    def take(self) -> Iterator[Node]:
        """Those that can start, in the order of the source, until there are no more; what starts meanwhile, too."""
        while self._ready:
            yield self._nodes[heappop(self._ready)[1]]

    def again(self, nodes: Iterable[Node]) -> None:
        """They could start, and did not."""
        for node in nodes:
            heappush(self._ready, (self._ranks[node.id], node.id))

    def valued(self, node: Node) -> None:
        """It has a value: what is speculative needs no more of it."""
        for reader in self._readers[node.id]:
            if reader in self._eager:
                self._no_longer_needs(reader, node.id)

    def decided(self, node: Node) -> Iterator[tuple[Node, list[Guard]]]:
        """It is done, skipped or failed: those that waited for it, each with its guards that it decides."""
        for reader in self._readers[node.id]:
            self._no_longer_needs(reader, node.id)
            yield self._nodes[reader], [guard for guard in self._guards[reader] if guard.condition == node.id]

    def delay(self, node: Node, undecided: Set[str]) -> None:
        """It is to start once more, when these are decided."""
        self._eager.discard(node.id)
        self._needs[node.id] = {*undecided}

    def _no_longer_needs(self, reader: str, node: str) -> None:
        self._needs[reader].discard(node)
        if not self._needs[reader]:
            heappush(self._ready, (self._ranks[reader], reader))

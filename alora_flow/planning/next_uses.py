"""Which call of a flow goes on from what another leaves in the cache, and how many calls later: the engine's hints.

Turn by turn, on threads with holes, before the run; what of it still holds is looked up when a call begins. A hint
never changes an answer: it only says what a full cache should drop first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, field

from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.prompts import Setup, reached
from alora_flow.prompts.thread import Hole, Thread, Turn

NextUse = list[tuple[int | None, int | None]]
"""As `next_use` of alora_runtime's Request: (end of a part in tokens, calls until its next use)."""


@dataclass
class _Place:
    """After some turns: the calls whose prompts pass here, by their numbers."""

    children: dict[Hashable, _Place] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)


class NextUses:
    """What is known of the calls of one run: `of` a call when it begins."""

    def __init__(self, graph: FlowGraph, setup: Setup, inputs: Values) -> None:
        self._setup = setup
        self._ids: list[str] = []
        self._paths: dict[str, list[_Place]] = {}
        self._coming: list[int] = []  # calls that may still begin
        root = _Place()
        for number, (node, values) in enumerate(reached(graph, setup, inputs)):
            self._ids.append(node.id)
            self._coming.append(number)
            place, path = root, []
            for step in self._steps(node, values):
                place = place.children.setdefault(step, _Place())
                place.calls.append(number)
                path.append(place)
            self._paths[node.id] = path

    def _steps(self, node: g.Node, values: Values) -> list[Hashable]:
        """The turns of a call's thread, and what it adds to them. A plain LoRA shares nothing with others."""
        operation = node.operation
        assert isinstance(operation, (g.Generate, g.Invoke))
        thread = thread_of(operation.thread, values)
        if isinstance(operation, g.Generate):
            written = g.Generate if operation.as_type else ("assistant", node.id)
            return [*map(_named, thread), written]
        contract = self._setup.contracts[operation.intrinsic.key]
        label = None if contract.adapter.activated else contract.adapter.digest
        return [*((label, _named(turn)) if label else _named(turn) for turn in thread), operation.intrinsic.key]

    def of(self, node: g.Node, thread: Thread, decided: Container[str]) -> NextUse | None:
        """For a call that begins on a thread without holes, when these nodes are done or skipped: the next use of each
        part of it. None where nothing is known.

        A branch that only the same call could read again is never used in this run but by that. A thread that no
        call of this run goes on from may be the next run's: nothing is known of it.
        """
        self._coming = [n for n in self._coming if self._ids[n] != node.id and self._ids[n] not in decided]
        path = self._paths.get(node.id)
        if path is None:
            return None
        coming = set(self._coming)
        later = [self._later(place, coming) for place in path]
        branch = isinstance(node.operation, g.Invoke) or node.operation.as_type is not None  # type: ignore[union-attr]
        tail = later[-1] or (0 if branch else None)
        parts = self._parts(later[:-1], thread)
        uses = [*(parts[:-1] if parts and parts[-1][1] == tail else parts), (None, tail)]
        return uses if any(use is not None for _, use in uses) else None

    def _later(self, place: _Place, coming: Container[int]) -> int | None:
        """How many calls later one of these passes here, as far as the order of the source tells."""
        number = next((number for number in place.calls if number in coming), None)
        return None if number is None else bisect_right(self._coming, number)

    def _parts(self, later: Sequence[int | None], thread: Thread) -> NextUse:
        """(end in tokens, next use) of a thread's turns; of the whole thread where holes became several turns."""
        ends = self._setup.prompter.turn_ends(thread)
        if len(later) != len(ends):
            ends, later = ends[-1:], later[-1:]
        parts: NextUse = []
        before = 0
        for count, (end, use) in enumerate(zip(ends, later, strict=False), start=1):
            # A turn without tokens ends where the one before it does.
            if end > before and (count == len(later) or use != later[count]):
                parts.append((end, use))
                before = end
        return parts


def _named(turn: Turn) -> Hashable:
    """A turn that a call writes is the same in its own path and in those that go on from it."""
    match turn.content:
        case (Hole(source, at_most),) if at_most is not None:
            return "assistant", source
    return turn

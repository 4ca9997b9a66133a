"""Which call goes on from what another leaves in the cache, and how many calls later: what the runs tell the engine.

Turn by turn, by the schedules of all runs that are under way side by side. A hint never changes an answer: it only says
what a full cache should drop first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from alora_flow.planning.graph import nodes as g
from alora_flow.planning.prompts import PromptedCall, Setup
from alora_flow.planning.schedule import Schedule, Step
from alora_flow.prompts.contents import Hole, Thread, Turn

NextUse = list[tuple[int | None, int | None]]
"""As `next_use` of alora_runtime's Request: (end of a part in tokens, calls until its next use)."""


@dataclass
class _Place:
    """After some turns: the calls that read all up to here, by their runs, each run's in order."""

    children: dict[Hashable, _Place] = field(default_factory=dict)
    calls: dict[int, list[int]] = field(default_factory=dict)


class _Ahead:
    """The calls of one run that may still begin."""

    def __init__(self, schedule: Schedule) -> None:
        self.steps = {step.call.node.id: step for step in schedule.steps}
        self.coming = list(range(len(schedule.steps)))  # ascending

    def gone(self, number: int) -> None:
        """This call has begun, or never will."""
        at = bisect_left(self.coming, number)
        if at < len(self.coming) and self.coming[at] == number:
            del self.coming[at]

    def next_of(self, numbers: list[int]) -> int | None:
        """In how many of this run's calls one of these begins: 1 is its next one. Forgets those that are gone."""
        while numbers:
            at = bisect_right(self.coming, numbers[0])
            if at and self.coming[at - 1] == numbers[0]:
                return at
            del numbers[0]
        return None


class Hints:
    """What is known of the calls of all runs under way."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._root = _Place()
        self._runs: dict[int, _Ahead] = {}

    def add(self, run: int, schedule: Schedule) -> None:
        """A run begins."""
        self._runs[run] = _Ahead(schedule)
        for step in schedule.steps:
            for place in self._places(run, step):
                place.calls.setdefault(run, []).append(step.number)

    def gone(self, run: int, node_id: str) -> None:
        """A call has begun, or never will."""
        ahead = self._runs[run]
        if node_id in ahead.steps:
            ahead.gone(ahead.steps[node_id].number)

    def leave(self, run: int) -> None:
        """A run is over, or was never added."""
        gone = self._runs.pop(run, None)
        for step in gone.steps.values() if gone else ():
            place = self._root
            for part in map(_Own(run), step.parts):
                if part not in place.children:
                    break
                child = place.children[part]
                child.calls.pop(run, None)
                if not child.calls:  # and so nobody passes any place behind it
                    del place.children[part]
                    break
                place = child

    def of(self, run: int, call: PromptedCall) -> NextUse | None:
        """For a call that begins, its thread without holes: the next use of each part of it; None where nothing is
        known.

        A branch that only the same call could read again is never used but by that. A thread that no call goes on from
        may be the next run's: nothing is known of it.
        """
        step = self._runs[run].steps.get(call.node.id)
        if step is None:
            return None
        later = [self._later(place) for place in self._places(run, step)]
        operation = call.node.operation
        branch = not isinstance(operation, g.Generate) or operation.as_type is not None
        tail = later[-1] or (0 if branch else None)
        parts = self._parts(later[:-1], call.thread)
        uses = [*(parts[:-1] if parts and parts[-1][1] == tail else parts), (None, tail)]
        return uses if any(use is not None for _, use in uses) else None

    def _places(self, run: int, step: Step) -> list[_Place]:
        place, places = self._root, []
        for part in map(_Own(run), step.parts):
            place = place.children.setdefault(part, _Place())
            places.append(place)
        return places

    def _later(self, place: _Place) -> int | None:
        """In how many calls of all runs the next one comes here: runs take turns."""
        distances = []
        for run, numbers in place.calls.items():
            own = self._runs[run].next_of(numbers)
            if own is not None:
                others = (len(ahead.coming) for other, ahead in self._runs.items() if other != run)
                distances.append(own + sum(min(own, coming) for coming in others))
        return min(distances, default=None)

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


@dataclass(frozen=True)
class _Own:
    """Names a part as all runs do, or, where a value of this run alone is missing in it, as only this run does."""

    run: int

    def __call__(self, part: Hashable) -> Hashable:
        return (self.run, part) if _open(part) else part


def _open(part: Hashable) -> bool:
    match part:
        case ("assistant", str()):
            return True
        case (_, Turn() as turn) | (Turn() as turn):
            return any(isinstance(content, Hole) for content in turn.content)
    return False

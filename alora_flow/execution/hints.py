"""Which call goes on from what another leaves in the cache, and how many calls later: what the runs tell the engine.

Turn by turn, by the schedules of all runs that are under way side by side. A hint never changes an answer: it only says
what a full cache should drop first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile, zip_longest

from alora_flow.planning.graph import nodes as g
from alora_flow.planning.prompts import PromptedCall
from alora_flow.planning.schedule import Schedule, Step
from alora_flow.planning.setup import Setup
from alora_flow.prompts.contents import EMPTY, Hole, Thread, Turn

NextUse = list[tuple[int | None, int | None]]
"""As `next_use` of alora_runtime's Request: (end of a part in tokens, calls until its next use)."""


@dataclass
class _Place:
    """After the turns up to one, which hold no value of one run alone: the calls that read all up to here, by their
    runs, each run's in order."""

    before: _Place | None = None
    last: Turn | None = None
    children: dict[Turn, _Place] = field(default_factory=dict)
    calls: dict[int, list[int]] = field(default_factory=dict)


class _Ahead:
    """The calls of one run that may still begin, and of each the places that other runs may pass, too."""

    def __init__(self, schedule: Schedule) -> None:
        self.steps = schedule.steps
        self.by_node = {step.call.node.id: step for step in schedule.steps}
        self.coming = list(range(len(schedule.steps)))  # ascending
        self.places: list[tuple[_Place, ...]] = []

    def gone(self, number: int) -> None:
        """This call has begun, or never will."""
        at = bisect_left(self.coming, number)
        if at < len(self.coming) and self.coming[at] == number:
            del self.coming[at]

    def until(self, number: int) -> int | None:
        """In how many of this run's calls that one begins: 1 is its next one; None where it is gone."""
        at = bisect_left(self.coming, number)
        return at + 1 if at < len(self.coming) and self.coming[at] == number else None

    def next_of(self, numbers: list[int]) -> int | None:
        """In how many of this run's calls one of these begins. Forgets those that are gone."""
        while numbers:
            until = self.until(numbers[0])
            if until is not None:
                return until
            del numbers[0]
        return None

    def next_after(self, step: Step, part: int) -> int | None:
        """In how many of this run's calls one reads all up to a part of a step that begins."""
        use = step.next_use(part)
        while use is not None and self.until(use) is None:
            use = self.steps[use].next_use(part)
        return None if use is None else self.until(use)


class Hints:
    """What is known of the calls of all runs under way."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._root = _Place()
        self._runs: dict[int, _Ahead] = {}

    def add(self, run: int, schedule: Schedule) -> None:
        """A run begins."""
        ahead = self._runs[run] = _Ahead(schedule)
        met: dict[Thread, tuple[_Place, ...]] = {EMPTY: ()}
        for step in schedule.steps:
            ahead.places.append(self._places(step, met))
            for place in ahead.places[-1]:
                place.calls.setdefault(run, []).append(step.number)

    def gone(self, run: int, node_id: str) -> None:
        """A call has begun, or never will."""
        ahead = self._runs[run]
        if node_id in ahead.by_node:
            ahead.gone(ahead.by_node[node_id].number)

    def leave(self, run: int) -> None:
        """A run is over, or was never added. Where it breaks off, it can be done again."""
        gone = self._runs.get(run)
        for place in chain.from_iterable(reversed(places) for places in gone.places) if gone else ():
            place.calls.pop(run, None)
            if not place.calls and place.before and place.last:
                place.before.children.pop(place.last, None)
        self._runs.pop(run, None)

    def of(self, run: int, call: PromptedCall) -> NextUse | None:
        """For a call that begins, its thread without holes: the next use of each part of it, None where no run goes on
        from it; None in all for a call that was not foreseen.

        A branch that only the same call could read again is never used but by that. A thread that no call goes on from
        may be the next run's: nothing is known of it.
        """
        ahead = self._runs[run]
        step = ahead.by_node.get(call.node.id)
        if step is None:
            return None
        shared = [self._later(place) for place in ahead.places[step.number]]
        own = [(end, self._among(run, ahead.next_after(step, end))) for end, _ in step.uses if end > len(shared)]
        later = _changes([*enumerate(shared, start=1), *own])
        operation = call.node.operation
        branch = not isinstance(operation, g.Generate) or operation.as_type is not None
        tail = later[-1][1] or (0 if branch else None)
        return [*self._in_tokens(step, later, tail, call.thread), (None, tail)]

    def _places(self, step: Step, met: dict[Thread, tuple[_Place, ...]]) -> tuple[_Place, ...]:
        """Those of a step's thread, up to the first turn that holds what only its own run will know. A plain LoRA's are
        its run's alone."""
        contract = step.call.prompt.contract
        if contract is not None and not contract.adapter.activated:
            return ()
        new = list(takewhile(lambda beginning: beginning not in met, step.call.thread.beginnings()))
        for thread in reversed(new):
            places = met[thread.before]
            if len(places) == len(thread.before) and not _open(thread.last):
                before = places[-1] if places else self._root
                places = (*places, before.children.setdefault(thread.last, _Place(before, thread.last)))
            met[thread] = places
        return met[step.call.thread]

    def _later(self, place: _Place) -> int | None:
        """In how many calls of all runs the next one comes here."""
        found = (self._among(run, self._runs[run].next_of(numbers)) for run, numbers in place.calls.items())
        return min((distance for distance in found if distance is not None), default=None)

    def _among(self, run: int, own: int | None) -> int | None:
        """In how many calls of all runs a call comes that is one run's `own`-th: runs take turns."""
        if own is None:
            return None
        return own + sum(min(own, len(ahead.coming)) for other, ahead in self._runs.items() if other != run)

    def _in_tokens(
        self, step: Step, later: Sequence[tuple[int, int | None]], tail: int | None, thread: Thread
    ) -> NextUse:
        """(end in tokens, next use) of a thread's turns; of the whole thread where holes became several turns."""
        turns = step.parts - 1
        whole = next((use for end, use in later if end >= turns), None)
        parts = [(end, use) for end, use in later if end < turns] + [(turns, whole)]
        if len(thread) != turns:
            parts = [(len(thread), whole)]
        ends = self._setup.prompter.ends_of(thread, [turn for turn, _ in parts])
        used: NextUse = []
        before = 0
        for place, (end, (_, use)) in enumerate(zip(ends, parts, strict=True)):
            # A turn without tokens ends where the one before it does.
            if end > before and not (place == len(parts) - 1 and use == tail):
                used.append((end, use))
                before = end
        return used


def _changes(later: Sequence[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """Only the last of neighbours that say the same."""
    return [one for one, after in zip_longest(later, later[1:]) if after is None or after[1] != one[1]]


def _open(turn: Turn) -> bool:
    """Does it hold what is not known yet?"""
    return any(isinstance(content, Hole) for content in turn.content)

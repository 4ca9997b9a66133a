"""What of the cache a run needs: what its calls left, as far as any that is still to come goes on from it."""

from __future__ import annotations

from alora_flow.execution.bounds import Crowd, Hold
from alora_flow.planning.schedule import Schedule
from alora_flow.planning.uses import ROOT, Needed
from alora_flow.prompts.contents import Thread


class Needs:
    """Of one run. A call that is to come needs all up to its place in the schedule."""

    def __init__(self, schedule: Schedule, crowd: Crowd) -> None:
        self._schedule, self._crowd = schedule, crowd
        self._steps = {step.call.node.id: step for step in schedule.steps}
        self._needed = Needed(schedule.places, [step.end for step in schedule.steps])
        self._held: dict[int, list[tuple[Hold, Thread]]] = {}  # by the last place that is needed of a call's thread

    def number(self, node: str) -> int:
        """Of a call; one that was not foreseen comes after all others."""
        return self._steps[node].number if node in self._steps else len(self._steps)

    def rest(self, node: str, hold: Hold, thread: Thread) -> None:
        """A call on a thread is done."""
        place = self._needed.nearest(self._steps[node].end) if node in self._steps else ROOT
        self._keep(place, hold, thread)

    def over(self, node: str) -> None:
        """A call will not be made any more, nor made again."""
        if node in self._steps:
            for place in self._needed.over(self._steps.pop(node).end):
                for hold, thread in self._held.pop(place, ()):
                    self._shorten(self._needed.nearest(place), hold, thread)

    def end(self) -> None:
        """The run is over: it needs nothing."""
        for hold, _ in [one for held in self._held.values() for one in held]:
            self._crowd.let_go(hold)
        self._held.clear()

    def _shorten(self, place: int, hold: Hold, thread: Thread) -> None:
        """Go on with what is needed of a call up to a place of its thread, unless another holds that already."""
        turns = self._schedule.places.depth[place]
        if turns > len(thread) or any(self._crowd.rests(other) for other, _ in self._held.get(place, ())):
            place = ROOT
        elif place != ROOT:
            self._crowd.shorten(hold, self._schedule.setup.prompter.ends_of(thread, [turns])[0])
        self._keep(place, hold, thread)

    def _keep(self, place: int, hold: Hold, thread: Thread) -> None:
        if place == ROOT:
            self._crowd.let_go(hold)
        else:
            self._held.setdefault(place, []).append((hold, thread))

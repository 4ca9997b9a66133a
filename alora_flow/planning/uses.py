"""Who reads next what a call leaves in the cache, and until when anybody does.

Calls end at *places* of a tree of threads: to read a thread is to pass the places of all its beginnings.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import TypeAlias

from alora_flow.prompts.contents import Thread

Uses: TypeAlias = tuple[tuple[int, int | None], ...]
"""Of the places on the way to a call's end: (depth, number of the next call that passes them), for all up to that
depth; the numbers ascend, and None is last: no later call does."""

ROOT = 0


class Places:
    """The tree: a place's number is above that of the place before it."""

    def __init__(self) -> None:
        self.before, self.depth = [ROOT], [0]
        self._numbers: dict[Hashable, int] = {}

    def of(self, adapter: str | None, thread: Thread, tail: Hashable = None) -> int:
        """After a thread, and what else may follow it, as one adapter computes them."""
        new = list(takewhile(lambda beginning: (adapter, beginning) not in self._numbers, thread.beginnings()))
        for beginning in reversed(new):
            self._number((adapter, beginning), self._numbers.get((adapter, beginning.before), ROOT))
        place = self._numbers.get((adapter, thread), ROOT)
        return place if tail is None else self._number((adapter, thread, tail), place)

    def _number(self, key: Hashable, before: int) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.before)
            self.before.append(before)
            self.depth.append(self.depth[before] + 1)
        return self._numbers[key]

    def fork(self, one: int, other: int) -> int:
        """The last place that is on the way to both; costs the distance."""
        while one != other:
            if one < other:
                one, other = other, one
            one = self.before[one]
        return one

    def back(self, place: int, until: int) -> Iterator[int]:
        """A place and those before it, down to one that is left out."""
        while place != until:
            yield place
            place = self.before[place]


def next_uses(places: Places, ends: Sequence[int]) -> list[Uses]:
    """For each of some calls, by where they end.

    From the last call to the first: up to where a call parts from the one after it, that one is next. `users` is right
    for all other places: whoever leaves the way of the call looked at last is written down when it does.
    """
    users: dict[int, int] = {}
    found: list[Uses] = []
    after = ROOT  # where the call after this one ends
    for number in range(len(ends) - 1, -1, -1):
        end = ends[number]
        fork = places.fork(end, after)
        users.update(dict.fromkeys(places.back(after, fork), number + 1))
        uses: list[tuple[int, int | None]] = []
        for place in places.back(end, fork):
            use = users.get(place)
            if not uses or uses[-1][1] != use:
                uses.append((places.depth[place], use))
        if fork != ROOT:
            uses.append((places.depth[fork], number + 1))
        found.append(tuple(reversed(uses)))
        after = end
    return found[::-1]


class Needed:
    """Of some calls, by where they end, those that are not over: which places they pass."""

    def __init__(self, places: Places, ends: Iterable[int]) -> None:
        self._before = places.before
        self._counts = [0] * len(places.before)  # calls that end at a place, and places after it that are passed
        for end in ends:
            self._counts[end] += 1
            while self._counts[end] == 1 and end != ROOT:
                end = self._before[end]
                self._counts[end] += 1

    def nearest(self, place: int) -> int:
        """The last one on the way to a place that is passed; ROOT where none is."""
        while not self._counts[place] and place != ROOT:
            place = self._before[place]
        return place

    def over(self, end: int) -> Iterator[int]:
        """A call is: the places that none passes any more, last first."""
        self._counts[end] -= 1
        while not self._counts[end] and end != ROOT:
            yield end
            end = self._before[end]
            self._counts[end] -= 1

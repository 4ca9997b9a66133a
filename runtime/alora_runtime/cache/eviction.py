"""Which run of the prefix cache is evicted next. Integers only.

Never used again, as a plan says, comes first; then what no plan knows of, least recently used; then what a plan goes on
from, where the best to go is needed last and costs least to compute again: the largest distance to its next use over
what a slot costs. A token at some depth costs 1 + depth / double, since attention reads all that is before it. What is
retained goes after all of these.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from alora_runtime.cache.node import CacheNode

PATIENCE = 4
"""A plan is given up when it is so many times as late as it said: a call that waits for a tool may still come, one in a
branch that was not taken will not."""

STEPS = 4
"""Leaves whose costs are in the same quarter are in one heap, since which of them is first does not change as requests
pass. Among the heaps it does, so their first ones are compared when one has to go."""

Entry = tuple[Any, int, CacheNode]
"""(what it is ordered by, tie, run)."""


class Heap:
    """Entries of which some are out of date; never many more of these than of the others."""

    def __init__(self, holds: Callable[[Entry], bool]) -> None:
        """holds: whether an entry is not out of date."""
        self.entries: list[Entry] = []
        self._holds, self._limit = holds, FEW

    def push(self, entry: Entry) -> None:
        """One more."""
        heappush(self.entries, entry)
        if len(self.entries) > self._limit:
            self.entries = list({entry[2]: entry for entry in self.entries if self._holds(entry)}.values())
            heapify(self.entries)
            self._limit = max(FEW, 2 * len(self.entries))

    def settled(self) -> list[Entry]:
        """The entries, the first of which is not out of date."""
        while self.entries and not self._holds(self.entries[0]):
            heappop(self.entries)
        return self.entries


FEW = 64
"""So many entries are not looked through."""


def _may_go(entry: Entry) -> bool:
    return entry[2].idle and entry[2].rank == entry[0] and not entry[2].retained


def _is_retained(entry: Entry) -> bool:
    return entry[2].idle and entry[2].rank == entry[0] and entry[2].retained > 0


def _is_planned(entry: Entry) -> bool:
    return entry[2].parent is not None and entry[2].rank[0] == 2 and entry[2].rank[2] == entry[0]


class EvictionOrder:
    """The leaves that may go, in order. double: the depth at which a token costs twice as much as at depth 0."""

    def __init__(self, double: int) -> None:
        self.double = double
        self.now = 0  # number of the request that came last
        self._clock, self._tie = count(1), count()
        self._unplanned = Heap(_may_go)
        self._planned: dict[int, Heap] = {}  # by cost
        self._until = Heap(_is_planned)  # by the request until which a plan holds
        self._retained = Heap(_is_retained)

    def use(self, node: CacheNode) -> None:
        """Something uses it now, and nothing is known of the next time."""
        node.rank = (1, next(self._clock), 0)

    def expect(self, node: CacheNode, request: int, later: int | None) -> None:
        """It is used `later` requests after number `request`, 0 for never again; None: what was planned is over."""
        if later is None:
            if node.rank[0] != 1:
                self.use(node)
        elif later:
            node.rank = (2, -(request + later), request + PATIENCE * later)
        else:
            node.rank = (0, next(self._clock), 0)
        self.watch(node)
        self.offer(node)

    def watch(self, node: CacheNode) -> None:
        """Its rank was set: a plan does not hold for ever."""
        if node.rank[0] == 2:
            self._until.push((node.rank[2], next(self._tie), node))

    def turn(self, request: int) -> None:
        """Request number `request` has come: plans that are long past are given up."""
        self.now = max(self.now, request)
        while (until := self._until.settled()) and until[0][0] < self.now:
            node = heappop(until)[2]
            self.use(node)
            self.offer(node)

    def offer(self, node: CacheNode) -> None:
        """It may go, if it is an idle leaf."""
        if node.idle:
            # A run goes from its end, over time all of it: on average its tokens cost what its middle does.
            cost = STEPS * (2 * self.double + node.depth + node.end) // (2 * self.double)
            if node.rank[0] == 2 and cost not in self._planned:
                self._planned[cost] = Heap(_may_go)
            heap = self._planned[cost] if node.rank[0] == 2 else self._unplanned
            heap = self._retained if node.retained else heap
            heap.push((node.rank, next(self._tie), node))

    def pop(self) -> CacheNode:
        """The leaf that goes next. There must be one."""
        if unplanned := self._unplanned.settled():
            return heappop(unplanned)[2]
        self._planned = {cost: heap for cost, heap in self._planned.items() if heap.settled()}
        if self._planned:
            return heappop(self._planned[max(self._planned, key=self._worth_going)].entries)[2]
        return heappop(self._retained.settled())[2]

    @property
    def entries(self) -> int:
        """How many are kept, with those that are out of date."""
        return sum(
            len(heap.entries) for heap in (self._unplanned, self._until, self._retained, *self._planned.values())
        )

    def _worth_going(self, cost: int) -> float:
        distance = -self._planned[cost].entries[0][0][1] - self.now
        return distance / cost if distance > 0 else float(distance)

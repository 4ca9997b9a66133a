"""Which run of the prefix cache is evicted next. Integers only.

Never used again, as a plan says, comes first; then what no plan knows of, least recently used; then what a plan goes on
from, where the best to go is needed last and costs least to compute again: the largest distance to its next use over
what a slot costs. A token at some depth costs 1 + depth / double, since attention reads all that is before it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from alora_runtime.cache.node import CacheNode

PATIENCE = 4
"""A plan is given up when it is so many times as late as it said: a call that waits for a tool may still come, one in a
branch that was not taken will not."""

STEPS = 4
"""Leaves whose costs are in the same quarter are in one heap, since which of them is first does not change as requests
pass. Among the heaps it does, so their first ones are compared when one has to go."""

Heap = list[tuple[tuple[int, int, int], int, CacheNode]]
"""(rank, tie, leaf). A leaf that is in use by now, or has another rank, is skipped."""


class EvictionOrder:
    """The leaves that may go, in order. double: the depth at which a token costs twice as much as at depth 0."""

    def __init__(self, double: int) -> None:
        self.double = double
        self.now = 0  # number of the request that came last
        self._clock, self._tie = count(1), count()
        self._unplanned: Heap = []
        self._planned: dict[int, Heap] = {}  # by cost
        self._until: list[tuple[int, int, CacheNode]] = []  # heap of (request until which a plan holds, tie, node)

    def use(self, node: CacheNode) -> None:
        """Something uses it now, and nothing is known of the next time."""
        node.rank = (1, next(self._clock), 0)

    def expect(self, node: CacheNode, request: int, later: int) -> None:
        """It is used `later` requests after number `request`, 0 for never again."""
        node.rank = (2, -(request + later), request + PATIENCE * later) if later else (0, next(self._clock), 0)
        self.watch(node)
        self.offer(node)

    def watch(self, node: CacheNode) -> None:
        """Its rank was set: a plan does not hold for ever."""
        if node.rank[0] == 2:
            heappush(self._until, (node.rank[2], next(self._tie), node))

    def turn(self, request: int) -> None:
        """Request number `request` has come: plans that are long past are given up."""
        self.now = max(self.now, request)
        while self._until and self._until[0][0] < self.now:
            node = heappop(self._until)[2]
            if node.rank[0] == 2 and node.rank[2] < self.now:
                self.use(node)
                self.offer(node)

    def offer(self, node: CacheNode) -> None:
        """It may go, if it is an idle leaf."""
        if node.idle:
            # A run goes from its end, over time all of it: on average its tokens cost what its middle does.
            cost = STEPS * (2 * self.double + node.depth + node.end) // (2 * self.double)
            heap = self._planned.setdefault(cost, []) if node.rank[0] == 2 else self._unplanned
            heappush(heap, (node.rank, next(self._tie), node))

    def pop(self) -> CacheNode:
        """The leaf that goes next. There must be one."""
        if _settled(self._unplanned):
            return heappop(self._unplanned)[2]
        self._planned = {cost: heap for cost, heap in self._planned.items() if _settled(heap)}
        return heappop(self._planned[max(self._planned, key=self._worth_going)])[2]

    def _worth_going(self, cost: int) -> float:
        distance = -self._planned[cost][0][0][1] - self.now
        return distance / cost if distance > 0 else distance


def _settled(heap: Heap) -> Heap:
    """Without stale leaves at its top."""
    while heap and not (heap[0][2].idle and heap[0][2].rank == heap[0][0]):
        heappop(heap)
    return heap

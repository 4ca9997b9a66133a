"""Which sequences are evicted last: those that a plan goes on from, by the requests that left them. Integers only.

A pin keeps its sequence whatever else needs the room, and so others out. What is retained keeps nobody out.
"""

from __future__ import annotations

from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import RunTree


class Retention:
    """`ends`: of what is retained of each request's sequence."""

    def __init__(self, tree: RunTree) -> None:
        self.tree = tree
        self.ends: dict[int, CacheNode] = {}

    def add(self, ticket: int, end: CacheNode) -> None:
        """A request's sequence ends here."""
        self.tree.retain(end)
        self.ends[ticket] = end

    def shorten(self, ticket: int, length: int) -> None:
        """Go on with the first `length` tokens of a request's sequence only; one of which nothing is retained is
        left."""
        if (end := self.ends.pop(ticket, None)) is not None:
            less = self.tree.retain_less(end, length)
            if less is not None:
                self.ends[ticket] = less

    def clear(self) -> None:
        """Retain nothing any more."""
        for ticket in list(self.ends):
            self.shorten(ticket, 0)

    def check(self) -> None:
        """Prove that as many sequences are retained up to each run as it says."""
        ends = list(self.ends.values())
        assert all(node.retained == ends.count(node) for node in (*self.tree.nodes(), *ends))

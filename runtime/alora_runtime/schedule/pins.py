"""Sequences that stay in the arena until they are released, whatever else needs the room. Integers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import Labelled, RunTree
from alora_runtime.errors import CapacityError
from alora_runtime.schedule.sequence import Live


class Pins:
    """What is pinned, by name. A pin is a reference to its path, as a live request has one."""

    def __init__(self, tree: RunTree) -> None:
        self.tree = tree
        self.ends: dict[str, list[CacheNode]] = {}

    @property
    def nodes(self) -> set[CacheNode]:
        """Every pinned run of the tree."""
        return {node for ends in self.ends.values() for end in ends for node in end.path()}

    @property
    def slots(self) -> int:
        """What they take of the arena."""
        return sum(len(node.tokens) for node in self.nodes)

    def add(self, name: str, end: CacheNode) -> None:
        """Keep the sequence that ends here."""
        self.tree.reference(end)
        self.ends.setdefault(name, []).append(end)

    def release(self, name: str) -> None:
        """Let go of all that is kept under a name."""
        for end in self.ends.pop(name, ()):
            self.tree.release(end)

    def check(self, new: Live, others: Sequence[Live], labelled: Callable[[Live], Sequence[Labelled]]) -> None:
        """Raises CapacityError unless `new`, and where it will be pinned each of the `others` that were accepted
        before it, fits by itself beside all that is pinned and that will be: so the oldest request always gets on."""
        promised = [live for live in (*others, new) if live.pin is not None]
        if not promised and not self.ends:
            return
        # Mostly there is room for all, and then nobody has to look at what is shared.
        most = max(live.most for live in (*others, new))
        if self.tree.held + sum(live.most for live in promised) + most <= self.tree.pool.total:
            return
        nodes, slots, total = self.nodes, self.slots, self.tree.pool.total
        for live in (new, *others) if new.pin is not None else (new,):
            beside = slots + sum(other.most for other in promised if other is not live)
            shared = sum(len(node.tokens) for node in self.tree.find(labelled(live)).path() if node in nodes)
            if live.most - shared + beside > total:
                who = "the request" if live is new else "with this one pinned, a request that was accepted before"
                raise CapacityError(
                    f"{who} needs {live.most - shared} cache tokens, and the arena has {total}, "
                    f"of which {beside} are pinned or promised to be"
                )

"""The prefix cache: a tree of runs keyed by tokens and adapter. Integers only.

Who owns a slot of the arena, at any moment exactly one of:

    slots                      owner                                 leaves by
    free gaps                  SlotPool                              take, take_at
    a node's extent            CacheNode, in the tree                     eviction, or pruning what was never computed
    a growing tail             Live request (scheduler)              graft into the tree, or give back

A node is a run: tokens under one label (the adapter's identity), in one contiguous extent. It can be split anywhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from alora_runtime.cache.eviction import EvictionOrder
from alora_runtime.cache.extents import Extent, SlotPool
from alora_runtime.cache.node import CacheNode, common

Labelled = tuple[Hashable, Sequence[int]]
"""A label and the tokens under it."""

Uses = Sequence[tuple[int, int | None]]
"""What a plan knows of a sequence: (end, later) for its tokens before position `end` and after the pair before, by
ascending `end`: `later` requests after its own one goes on from them, 0 for none, None where that is not known."""


class RunTree:
    """All runs in the arena. `keep=False` forgets a run as soon as no live request passes through it. double: as in
    EvictionOrder."""

    def __init__(self, total: int, keep: bool = True, double: int = 4096) -> None:
        self.pool = SlotPool(total)
        self.keep = keep
        self.order = EvictionOrder(double)
        self.root = CacheNode(None, None, (), 0)
        self.held = 0  # slots of nodes with references
        self.stored = 0  # slots of all nodes
        self.evicted = 0  # slots evicted since the start
        self.evicted_retained = 0  # those of them that were retained
        self._in_flight: set[CacheNode] = set()

    @property
    def available(self) -> int:
        """Slots that a request could get: free ones and those of runs that nobody uses."""
        return self.pool.free + self.stored - self.held

    def find(self, runs: Sequence[Labelled]) -> CacheNode:
        """The node where the longest cached prefix of `runs` ends; splits the node that it ends in."""
        node = self.root
        for label, tokens in runs:
            node, at = self._descend(node, label, tokens)
            if at < len(tokens):
                break
        return node

    def admit(self, runs: Sequence[Labelled], spare: int, tail: int) -> CacheNode | None:
        """Give `runs` a path of nodes, sharing what is there; None unless `spare` more slots could then be had.
        Where possible `tail` slots behind the path are left free."""
        total = sum(len(tokens) for _, tokens in runs)
        node = self.find(runs)
        self.reference(node)
        missing = total - node.end
        if missing + spare > self.available:
            self.release(node)
            return None
        self.make_room(min(missing + tail, self.available - spare))
        return self._append(node, runs, missing, tail)

    def make_room(self, slots: int) -> bool:
        """Evict until so many slots are free; False, and nothing done, when that cannot be."""
        if slots > self.available:
            return False
        while self.pool.free < slots:
            node = self.order.pop()
            retained = node.retained > 0
            freed = self._trim(node, max(0, len(node.tokens) - (slots - self.pool.free)))
            self.evicted += freed
            self.evicted_retained += freed * retained
        return True

    def expect(self, node: CacheNode, uses: Uses, request: int) -> None:
        """What a plan knows of the sequence that ends in `node` and was request number `request`."""
        path, index = node.path(), 0
        for end, later in uses:
            while index < len(path) and path[index].depth < end:
                if path[index].end > end:
                    path.insert(index, self._split(path[index], end - path[index].depth))
                self.order.expect(path[index], request, later)
                index += 1

    def graft(self, node: CacheNode, label: Hashable, tokens: Sequence[int], extents: Sequence[Extent]) -> CacheNode:
        """Put computed tokens below `node`; their slots, given in order, become the tree's or are free again. Returns
        where they end."""
        node, known = self._descend(node, label, tokens)
        if not self.keep:
            known = len(tokens)
        at = 0
        for extent in extents:
            spare = min(extent.length, max(0, known - at))
            self.pool.give(Extent(extent.start, spare))
            if spare < extent.length:
                node = self._add(node, label, tokens[at + spare : at + extent.length], extent.start + spare)
                node.ready = node.planned = len(node.tokens)
            at += extent.length
        self.order.offer(node)
        return node

    def retain(self, node: CacheNode) -> None:
        """The sequence that ends here is evicted after all that is not retained."""
        node.retained += 1
        self.order.offer(node)

    def retain_less(self, node: CacheNode, length: int) -> CacheNode | None:
        """Only the first `length` tokens of a sequence that is retained up to a node. Returns where these end; None
        where nothing of it is retained any more."""
        node.retained -= 1
        if not length or node.parent is None:  # evicted all the same
            self.order.offer(node)
            return None
        self.order.offer(node)
        while node.depth >= length and node.parent is not None:
            node = node.parent
        if node.end > length:
            node = self._split(node, length - node.depth)
        self.retain(node)
        return node

    def reference(self, node: CacheNode) -> None:
        """Somebody passes through or pins the path to `node`: it stays until they release it."""
        for step in node.path():
            if step.rank[0] == 0:  # a plan was wrong
                self.order.use(step)
            self.held += 0 if step.references else len(step.tokens)
            step.references += 1

    def release(self, node: CacheNode) -> None:
        """A live request leaves its path; what nobody will compute any more goes."""
        for step in node.path():
            step.references -= 1
            if not step.references:
                if step.rank[0] == 1:
                    self.order.use(step)
                self.held -= len(step.tokens)
        while node.idle and (node.ready < len(node.tokens) or not self.keep):
            parent = node.parent
            self._trim(node, node.ready if self.keep else 0)
            if node.parent is not None or parent is None:
                break
            node = parent
        self.order.offer(node)

    def planned(self, node: CacheNode) -> int:
        """The first position on the path to `node` that is neither computed nor planned."""
        for step in node.path():
            if step.planned < len(step.tokens):
                return step.depth + step.planned
        return node.end

    def plan(self, node: CacheNode, end: int) -> None:
        """The step being prepared computes the path to `node` up to position `end`."""
        for step in node.path():
            reach = min(len(step.tokens), end - step.depth)
            if reach > step.planned:
                step.planned = reach
                self._in_flight.add(step)

    def cut(self, node: CacheNode, end: int) -> None:
        """The step being prepared does not compute the path to `node` beyond position `end` after all."""
        for step in node.path():
            step.planned = max(step.ready, min(step.planned, end - step.depth))

    def commit(self) -> None:
        """The step was computed."""
        for node in self._in_flight:
            node.ready = node.planned
        self._in_flight.clear()

    def abort(self) -> None:
        """The step failed: nothing of it counts."""
        for node in self._in_flight:
            node.planned = node.ready
        self._in_flight.clear()

    def nodes(self) -> Iterator[CacheNode]:
        """Every node but the root."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def _descend(self, node: CacheNode, label: Hashable, tokens: Sequence[int]) -> tuple[CacheNode, int]:
        at = 0
        while at < len(tokens):
            child = node.children.get((label, tokens[at]))
            if child is None:
                break
            shared = common(child.tokens, tokens, at)
            node = child if shared == len(child.tokens) else self._split(child, shared)
            at += shared
        return node, at

    def _append(self, node: CacheNode, runs: Sequence[Labelled], missing: int, tail: int) -> CacheNode:
        slots = iter(self.pool.take(missing, tail))
        extent, position, matched = Extent(0, 0), 0, node.end
        for label, tokens in runs:
            at = max(0, matched - position)
            while at < len(tokens):
                if not extent.length:
                    extent = next(slots)
                part = min(extent.length, len(tokens) - at)
                node = self._add(node, label, tokens[at : at + part], extent.start)
                node.references = 1
                self.held += part
                extent, at = Extent(extent.start + part, extent.length - part), at + part
            position += len(tokens)
        return node

    def _add(self, parent: CacheNode, label: Hashable, tokens: Sequence[int], start: int) -> CacheNode:
        node = CacheNode(parent, label, tokens, start)
        self.order.use(node)
        assert node.key not in parent.children
        parent.children[node.key] = node
        self.stored += len(tokens)
        return node

    def _split(self, node: CacheNode, at: int) -> CacheNode:
        """Cut a node before its token `at`; the new upper part is returned, `node` itself stays the lower one."""
        parent = node.parent
        assert parent is not None
        assert 0 < at < len(node.tokens)
        upper = CacheNode(parent, node.label, node.tokens[:at], node.start)
        upper.ready, upper.planned = min(node.ready, at), min(node.planned, at)
        upper.references, upper.rank = node.references, node.rank
        self.order.watch(upper)
        parent.children[upper.key] = upper
        node.parent, node.tokens, node.start, node.depth = upper, node.tokens[at:], node.start + at, node.depth + at
        node.ready, node.planned = node.ready - upper.ready, node.planned - upper.planned
        upper.children[node.key] = node
        if node in self._in_flight:
            self._in_flight.add(upper)
        return upper

    def _trim(self, node: CacheNode, length: int) -> int:
        """Cut an idle leaf to its first `length` tokens, or away; returns how many slots that freed."""
        assert node.parent is not None
        assert node.idle
        freed = len(node.tokens) - length
        self.pool.give(Extent(node.start + length, freed))
        self.stored -= freed
        if freed:
            node.row = None
        if length:
            node.tokens = node.tokens[:length]
            node.ready, node.planned = min(node.ready, length), min(node.planned, length)
            self.order.offer(node)
            return freed
        parent, node.parent = node.parent, None
        del parent.children[node.label, node.tokens[0]]
        self._in_flight.discard(node)
        self.order.offer(parent)
        return freed

    def check(self) -> None:
        """Prove the equations of the tree (assertions: a failure is the engine's mistake, never a caller's)."""
        nodes = list(self.nodes())
        assert self.stored == sum(len(node.tokens) for node in nodes)
        assert self.held == sum(len(node.tokens) for node in nodes if node.references)
        for node in nodes:
            assert node.tokens
            assert node.parent is not None
            assert node.parent.children[node.key] is node
            assert node.depth == node.parent.end
            assert 0 <= node.ready <= node.planned <= len(node.tokens)
            assert node.references or node.ready == len(node.tokens), "an unfinished run that nobody computes"
            assert node.references >= sum(child.references for child in node.children.values())

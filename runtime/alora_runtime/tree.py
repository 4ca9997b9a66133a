"""The prefix cache: a tree of runs keyed by tokens and adapter. Integers only.

Who owns a slot of the arena, at any moment exactly one of:

    slots                      owner                                 leaves by
    free gaps                  SlotPool                              take, take_at
    a node's extent            Node, in the tree                     eviction, or pruning what was never computed
    a growing tail             Live request (scheduler)              graft into the tree, or give back

A node is a run: tokens under one label (the adapter's identity), in one contiguous extent. It can be split anywhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from .extents import Extent, SlotPool, joined

Labelled = tuple[Hashable, Sequence[int]]
"""A label and the tokens under it."""


class Node:
    """A run of the tree, from position `depth` of every sequence through it.

    ready: how many of its tokens have their KV; planned: the same once the step being prepared is done.
    references: live requests whose sequence passes through. row: whatever the engine keeps for the last token.
    rank: the smaller, the sooner it is evicted: (0, …) will not be used again, (1, last use) nothing is known,
    (2, …) a plan goes on from it, the later the sooner out.
    """

    __slots__ = (
        "children",
        "depth",
        "label",
        "parent",
        "planned",
        "rank",
        "ready",
        "references",
        "row",
        "start",
        "tokens",
    )

    def __init__(self, parent: Node | None, label: Hashable, tokens: Sequence[int], start: int) -> None:
        self.parent, self.label, self.tokens, self.start = parent, label, tuple(tokens), start
        self.depth = parent.end if parent else 0
        self.children: dict[tuple[Hashable, int], Node] = {}
        self.ready = self.planned = self.references = 0
        self.rank = (1, 0)
        self.row: object | None = None

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.depth + len(self.tokens)

    @property
    def key(self) -> tuple[Hashable, int]:
        """Where its parent finds it."""
        return self.label, self.tokens[0]

    @property
    def idle(self) -> bool:
        """A leaf that no live request passes through: it may be evicted."""
        return not self.references and not self.children and self.parent is not None

    def path(self) -> list[Node]:
        """From the first run to this one, without the root."""
        nodes = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def extents(self) -> list[Extent]:
        """The slots of the whole sequence that ends here, in order of position."""
        return joined(Extent(node.start, len(node.tokens)) for node in self.path())


def common(left: Sequence[int], right: Sequence[int], offset: int) -> int:
    """How many tokens `left` and `right[offset:]` have in common at their start."""
    most = min(len(left), len(right) - offset)
    if left[:most] == right[offset : offset + most]:
        return most
    return next(index for index in range(most) if left[index] != right[offset + index])


class RunTree:
    """All runs in the arena. `keep=False` forgets a run as soon as no live request passes through it."""

    def __init__(self, total: int, keep: bool = True) -> None:
        self.pool = SlotPool(total)
        self.keep = keep
        self.root = Node(None, None, (), 0)
        self.held = 0  # slots of nodes with references
        self.stored = 0  # slots of all nodes
        self.evicted = 0  # slots evicted since the start
        self._clock = count(1)
        self._order = count()
        self._idle: list[tuple[tuple[int, int], int, Node]] = []  # heap of (rank, tie, leaf); stale ones are skipped
        self._in_flight: set[Node] = set()

    @property
    def available(self) -> int:
        """Slots that a request could get: free ones and those of runs that nobody uses."""
        return self.pool.free + self.stored - self.held

    def find(self, runs: Sequence[Labelled]) -> Node:
        """The node where the longest cached prefix of `runs` ends; splits the node that it ends in."""
        node = self.root
        for label, tokens in runs:
            node, at = self._descend(node, label, tokens)
            if at < len(tokens):
                break
        return node

    def admit(self, runs: Sequence[Labelled], spare: int, tail: int) -> Node | None:
        """Give `runs` a path of nodes, sharing what is there; None unless `spare` more slots could then be had.
        Where possible `tail` slots behind the path are left free."""
        total = sum(len(tokens) for _, tokens in runs)
        node = self.find(runs)
        self._reference(node)
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
            rank, _, node = heappop(self._idle)
            if node.idle and node.rank == rank:
                self.evicted += self._trim(node, max(0, len(node.tokens) - (slots - self.pool.free)))
        return True

    def expect(self, node: Node, request: int | None) -> None:
        """A plan says that request number `request` goes on from `node`, or that none will."""
        for step in node.path():
            step.rank = (0, next(self._clock)) if request is None else (2, -request)
            self._offer(step)

    def graft(self, node: Node, label: Hashable, tokens: Sequence[int], extents: Sequence[Extent]) -> Node:
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
        self._offer(node)
        return node

    def release(self, node: Node) -> None:
        """A live request leaves its path; what nobody will compute any more goes."""
        now = next(self._clock)
        for step in node.path():
            step.references -= 1
            if not step.references:
                step.rank = (1, now) if step.rank[0] == 1 else step.rank
                self.held -= len(step.tokens)
        while node.idle and (node.ready < len(node.tokens) or not self.keep):
            parent = node.parent
            self._trim(node, node.ready if self.keep else 0)
            if node.parent is not None or parent is None:
                break
            node = parent
        self._offer(node)

    def planned(self, node: Node) -> int:
        """The first position on the path to `node` that is neither computed nor planned."""
        for step in node.path():
            if step.planned < len(step.tokens):
                return step.depth + step.planned
        return node.end

    def plan(self, node: Node, end: int) -> None:
        """The step being prepared computes the path to `node` up to position `end`."""
        for step in node.path():
            reach = min(len(step.tokens), end - step.depth)
            if reach > step.planned:
                step.planned = reach
                self._in_flight.add(step)

    def cut(self, node: Node, end: int) -> None:
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

    def nodes(self) -> Iterator[Node]:
        """Every node but the root."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def _descend(self, node: Node, label: Hashable, tokens: Sequence[int]) -> tuple[Node, int]:
        at = 0
        while at < len(tokens):
            child = node.children.get((label, tokens[at]))
            if child is None:
                break
            shared = common(child.tokens, tokens, at)
            node = child if shared == len(child.tokens) else self._split(child, shared)
            at += shared
        return node, at

    def _append(self, node: Node, runs: Sequence[Labelled], missing: int, tail: int) -> Node:
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

    def _add(self, parent: Node, label: Hashable, tokens: Sequence[int], start: int) -> Node:
        node = Node(parent, label, tokens, start)
        node.rank = (1, next(self._clock))
        assert node.key not in parent.children
        parent.children[node.key] = node
        self.stored += len(tokens)
        return node

    def _reference(self, node: Node) -> None:
        for step in node.path():
            self.held += 0 if step.references else len(step.tokens)
            step.references += 1

    def _split(self, node: Node, at: int) -> Node:
        """Cut a node before its token `at`; the new upper part is returned, `node` itself stays the lower one."""
        parent = node.parent
        assert parent is not None
        assert 0 < at < len(node.tokens)
        upper = Node(parent, node.label, node.tokens[:at], node.start)
        upper.ready, upper.planned = min(node.ready, at), min(node.planned, at)
        upper.references, upper.rank = node.references, node.rank
        parent.children[upper.key] = upper
        node.parent, node.tokens, node.start, node.depth = upper, node.tokens[at:], node.start + at, node.depth + at
        node.ready, node.planned = node.ready - upper.ready, node.planned - upper.planned
        upper.children[node.key] = node
        if node in self._in_flight:
            self._in_flight.add(upper)
        return upper

    def _trim(self, node: Node, length: int) -> int:
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
            self._offer(node)
            return freed
        parent, node.parent = node.parent, None
        del parent.children[node.label, node.tokens[0]]
        self._in_flight.discard(node)
        self._offer(parent)
        return freed

    def _offer(self, node: Node) -> None:
        if node.idle:
            heappush(self._idle, (node.rank, next(self._order), node))

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

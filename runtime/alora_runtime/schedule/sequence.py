"""What the scheduler knows of a request being served, and what it tells the engine to compute. Integers only."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.cache.extents import Extent, joined, size, window
from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import Uses

Runs = tuple[tuple[int, tuple[int, ...]], ...]
"""A sequence as (adapter number, tokens), 0 for the base; neighbours under one adapter are one run."""

AHEAD = 64
"""Reserved slots that attention reads along before they are used, so that what it reads changes only every so often."""

Row = object
"""The last hidden state of one token: opaque here, a tensor `[hidden]` in the engine."""


@dataclass(slots=True, eq=False)
class Live:
    """A request between submission and completion.

    runs: the prompt. room: most tokens that it may ever feed after its prompt. uses, pin, retain: what
    a plan knows of it, the name that it is kept under when it is done, and whether it is then evicted last.
    generated: ids so far; the first `fed` of them have their KV, or will have after the step being prepared.
    closing: nothing more will be generated; all but the last token has still to get its KV, for whoever goes on.
    counted: prompt positions already accounted for as reused or prefilled.
    path: slots of the sequence that ends in `leaf` (the prompt, after a preemption with what had been generated).
    tail: `reserved` slots, in order of position, for what is fed after `leaf`; the first `used` are taken, and the
    first `seen` are part of its context. reach: up to where its slots follow each other.
    place: a new object whenever path or tail change, or `reach`: while it stays the same, slots follow each other.
    prompt: tokens of the prompt.
    prompt_done: all of the path has its KV. opened: the row of the last prompt token has been given, once and for all,
    and with it those of the trie.
    """

    ticket: int
    runs: Runs
    room: int
    trie: ChoiceTrie | None = None
    uses: Uses = ()
    pin: str | None = None
    retain: bool = False
    prompt: int = field(init=False)
    generated: list[int] = field(default_factory=list)
    fed: int = 0
    closing: bool = False
    prefilled: int = 0
    counted: int = 0
    leaf: CacheNode | None = None
    path: list[Extent] = field(default_factory=list)
    tail: list[Extent] = field(default_factory=list)
    reserved: int = 0
    used: int = 0
    seen: int = 0
    reach: int = 0
    place: object = None
    prompt_done: bool = False
    opened: bool = False

    def __post_init__(self) -> None:
        self.prompt = sum(len(tokens) for _, tokens in self.runs)

    @property
    def adapter(self) -> int:
        """What generated tokens carry."""
        return self.runs[-1][0]

    @property
    def most(self) -> int:
        """The most slots that it can need."""
        return self.prompt + self.room

    @property
    def pending(self) -> int:
        """Rows to feed once the prompt is done: tokens generated and not fed, or the trie of its choices."""
        return len(self.trie.tokens) if self.trie else max(0, len(self.generated) - self.closing - self.fed)

    def sequence(self) -> Runs:
        """Everything whose KV it needs before it can go on: the prompt, and what it had fed when it was preempted."""
        adapter, tokens = self.runs[-1]
        return (*self.runs[:-1], (adapter, tokens + tuple(self.generated[: self.fed])))

    def forsake(self) -> None:
        """What it leaves is worth no more than other cache."""
        self.pin, self.retain = None, False

    def enter(self, leaf: CacheNode) -> None:
        """Take its place in the tree."""
        self.leaf, self.path, self.used, self.prompt_done = leaf, leaf.extents(), 0, False
        self.reserve([])

    def leave(self) -> None:
        """Give its place up; whoever calls has settled the slots."""
        self.leaf, self.path, self.used, self.prompt_done = None, [], 0, False
        self.reserve([])

    def reserve(self, tail: list[Extent]) -> None:
        """Have these slots for what is to come."""
        self.tail, self.reserved, self.reach = tail, size(tail), -1
        self.look()

    def use(self, count: int) -> None:
        """Take `count` more slots of the tail."""
        self.used += count
        if self.used > self.seen:
            self.look()

    def look(self) -> None:
        """Let the context end at the next multiple of AHEAD, or before it where the tail goes on elsewhere."""
        if self.used > self.reach:
            ends = accumulate(extent.length for extent in self.tail)
            self.reach = next((end for end in ends if end >= self.used), 0)
            self.place = object()
        self.seen = min(self.reach, AHEAD * max(1, -(-self.used // AHEAD)))

    def cut(self, count: int) -> None:
        """Take back all generated tokens but the first `count`, and the KV of those but the last."""
        del self.generated[count:]
        surplus = max(0, self.fed - max(0, count - 1))
        self.fed -= surplus
        self.used -= min(surplus, self.used)  # fed before a preemption: that is part of the path, and stays

    def context(self) -> list[Extent]:
        """Slots of the path and of the tail, with some that are only reserved."""
        return joined([*self.path, *window(self.tail, 0, self.seen)])

    def slot(self, index: int) -> int:
        """The slot of the tail's token `index`."""
        for extent in self.tail:
            if index < extent.length:
                return extent.start + index
            index -= extent.length
        raise AssertionError

    def fed_piece(self, count: int) -> Piece:
        """The last `count` tokens that were fed, as the piece that computes them."""
        tokens = tuple(self.generated[self.fed - count : self.fed])
        slots = window(self.tail, self.used - count, self.used)
        start = self.prompt + self.fed - count
        return Piece(self, ((self.adapter, tokens),), start, slots, self.context(), self)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Consecutive tokens of one sequence, computed in one step.

    runs: their tokens by adapter. start: position of the first. slots: where their KV goes; None for a token that is
    computed again only for its row (its KV is in place, and runs are immutable). context: the slots of every position
    up to the last, in order, and perhaps of later ones. row: who keeps the last token's row: the end of a prompt, a
    request, or nobody.
    """

    live: Live
    runs: Runs
    start: int
    slots: list[Extent] | None
    context: list[Extent]
    row: CacheNode | Live | None

    @property
    def length(self) -> int:
        """Tokens."""
        return sum(len(tokens) for _, tokens in self.runs)

    def part(self, first: int, last: int) -> Piece:
        """Its tokens `first` … `last - 1` as a piece; a row is kept of the last token only."""
        slots = None if self.slots is None else window(self.slots, first, last)
        context = window(self.context, 0, self.start + last)
        row = self.row if last == self.length else None
        return Piece(self.live, cut(self.runs, first, last), self.start + first, slots, context, row)


@dataclass(slots=True)
class Plan:
    """One step. `budget`: tokens of prompts, and of tries that go along, that may still be added; `work`: the same as
    the time that they take, in `pace.Pace`'s measure. Rows are kept by `decoding` first, then by `pieces`.

    decoding: requests that compute the token they generated last, in order of submission. pieces: everything else.
    spoiled: requests of which something turned out not to be finite, and from which position on.
    """

    budget: int
    work: float = float("inf")
    decoding: list[Live] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    rows: set[CacheNode] = field(default_factory=set)
    spoiled: dict[Live, int] = field(default_factory=dict)

    def keepers(self) -> list[CacheNode | Live]:
        """Who keeps a row, in order."""
        return [*self.decoding, *(piece.row for piece in self.pieces if piece.row is not None)]


def cut(runs: Runs, start: int, end: int) -> Runs:
    """The runs of positions `start` … `end - 1`."""
    result, position = [], 0
    for adapter, tokens in runs:
        part = tokens[max(0, start - position) : max(0, end - position)]
        if part:
            result.append((adapter, part))
        position += len(tokens)
    return tuple(result)

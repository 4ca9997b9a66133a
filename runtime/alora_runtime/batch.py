"""One step as tensors: packed tokens, where their KV goes, what each sees, whose adapter it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .clusters import Cluster, Group, grouped
from .extents import Extent
from .routing import Routing, Rows
from .sequence import Live, Piece, Plan


@dataclass(slots=True)
class Batch:
    """One forward pass over `rows` packed tokens.

    tokens, positions: `[rows]`; longest: the largest position. slots: where their KV is written (the last slot of the
    arena for rows whose KV is in place already). kept: the rows whose hidden state is wanted, ascending; None: all.
    order: for each who keeps a row, in the plan's order, which of the kept rows it is.
    routing, kept_routing: the adapters of all rows, and of the kept ones.
    """

    tokens: Tensor
    positions: Tensor
    longest: int
    slots: Rows
    kept: Tensor | None
    order: list[int]
    clusters: list[Cluster]
    routing: Routing
    kept_routing: Routing
    arena: Tensor


@dataclass(slots=True)
class _Steady:
    """What the last step left, when all of it were requests going on by one token."""

    lives: list[Live]
    places: list[object]
    slots: list[int]
    rows: list[int]
    batch: Batch
    groups: list[Group]
    marks: list[Tensor | None] = field(default_factory=list)


class Batcher:
    """Builds batches for an arena. While the same requests go on token by token, only what has changed is made anew."""

    def __init__(self, arena: Tensor, width: int) -> None:
        """width: numbers in all of a query's heads; it decides what attention costs."""
        self.arena, self.width = arena, width
        self._steady: _Steady | None = None

    def build(self, plan: Plan) -> Batch:
        """The batch of a plan."""
        lives = plan.decoding
        if plan.pieces:
            self._steady = None
            return self._pack([*(live.fed_piece(1) for live in lives), *plan.pieces])[0]
        slots = [live.slot(live.used - 1) for live in lives]
        if self._goes_on(lives, slots):
            return self._next(slots)
        batch, groups, rows = self._pack([live.fed_piece(1) for live in lives])
        places = [live.place for live in lives]
        self._steady = _Steady(list(lives), places, slots, rows, batch, groups)
        self._steady.marks = [group.marks() for group in groups]
        return batch

    def _goes_on(self, lives: list[Live], slots: list[int]) -> bool:
        before = self._steady
        return (
            before is not None
            and before.lives == lives
            and all(live.place is place for live, place in zip(lives, before.places, strict=True))
            and slots == [slot + 1 for slot in before.slots]
        )

    def _next(self, slots: list[int]) -> Batch:
        """One token further, in place: the batch of the step before has been used up."""
        before = self._steady
        assert before is not None
        batch, before.slots = before.batch, slots
        tokens = [0] * len(slots)
        for row, live in zip(before.rows, before.lives, strict=True):
            tokens[row] = live.generated[live.fed - 1]
        batch.tokens = torch.tensor(tokens)
        if isinstance(batch.slots, slice):
            batch.slots = slice(batch.slots.start + 1, batch.slots.stop + 1)
        else:
            batch.slots += 1
        batch.positions += 1
        batch.longest += 1
        for index, (group, marks) in enumerate(zip(before.groups, before.marks, strict=True)):
            batch.clusters[index] = group.grown(batch.clusters[index], marks)
        return batch

    def _pack(self, pieces: Sequence[Piece]) -> tuple[Batch, list[Group], list[int]]:
        """Neighbours in the tree become neighbours in the batch, so that clusters are slices. Also says which row is
        each piece's last."""
        order = sorted(range(len(pieces)), key=lambda index: (pieces[index].context, pieces[index].start))
        ordered = [pieces[index] for index in order]
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        labels: list[int] = []
        last = [0] * len(pieces)
        for index, piece in zip(order, ordered, strict=True):
            for adapter, part in piece.runs:
                tokens += part
                labels += [adapter] * len(part)
            positions += range(piece.start, piece.start + piece.length)
            slots += [self.arena.shape[1] - 1] if piece.slots is None else numbers(piece.slots)
            last[index] = len(tokens) - 1
        wanted = [row for row, piece in zip(last, pieces, strict=True) if piece.row is not None]
        kept = sorted(wanted)
        places = {row: place for place, row in enumerate(kept)}
        everything = len(kept) == len(tokens)
        routing = Routing(labels)
        groups = grouped(ordered, self.width / 512)
        batch = Batch(
            tokens=torch.tensor(tokens),
            positions=torch.tensor(positions),
            longest=max(positions),
            slots=as_rows(slots),
            kept=None if everything else torch.tensor(kept, dtype=torch.long),
            order=[places[row] for row in wanted],
            clusters=[group.cluster(self.arena.dtype) for group in groups],
            routing=routing,
            kept_routing=routing if everything else Routing([labels[row] for row in kept]),
            arena=self.arena,
        )
        return batch, groups, last


def numbers(extents: Sequence[Extent]) -> list[int]:
    """Every slot of the extents, in order."""
    return [slot for extent in extents for slot in range(extent.start, extent.end)]


def as_rows(slots: list[int]) -> Rows:
    """A slice where they follow each other."""
    first = slots[0]
    in_order = slots == list(range(first, first + len(slots)))
    return slice(first, first + len(slots)) if in_order else torch.tensor(slots)

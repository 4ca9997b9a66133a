"""One step as tensors: packed tokens, where their KV goes, what each sees, whose adapter it carries."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alora_runtime.adapters.routing import Routing, Rows
from alora_runtime.cache.extents import Extent
from alora_runtime.compute.attention import Store, stores
from alora_runtime.compute.clusters import Cluster, Group, grouped, narrowed
from alora_runtime.schedule.sequence import Live, Piece, Plan

STEPS = 32
"""For how many steps positions and slots are made at once."""

LONG = 1 << 60
"""More steps than there will be."""


@dataclass(slots=True)
class Batch:
    """One forward pass over `rows` packed tokens.

    tokens, positions: `[rows]`; longest: the largest position. slots: where their KV is written (the last slot of the
    arena for rows whose KV is in place already). kept: the rows whose hidden state is wanted, ascending; None: all.
    order: for each who keeps a row, in the plan's order, which of the kept rows it is.
    clusters, windowed: who attends together, in layers that look over everything and in those that have a window; the
    same object while no row is beyond it. kept_clusters: the same two of the kept rows alone; None where all are kept,
    or none.
    routing, kept_routing: the adapters of all rows, and of the kept ones. stores: the arena layer by layer.
    """

    tokens: Tensor
    positions: Tensor
    longest: int
    slots: Rows
    kept: Tensor | None
    order: list[int]
    clusters: list[Cluster]
    windowed: list[Cluster]
    kept_clusters: tuple[list[Cluster], list[Cluster]] | None
    routing: Routing
    kept_routing: Routing
    arena: Tensor
    stores: list[Store]

    def attending(self, windowed: bool, kept: bool) -> list[Cluster]:
        """Who attends together in a layer with a window or without one; of the kept rows only, or of all."""
        everywhere, near = self.kept_clusters if kept and self.kept_clusters else (self.clusters, self.windowed)
        return near if windowed else everywhere

    def to(self, device: torch.device) -> Batch:
        """The same on a device, all integers in one copy."""
        parts = [self.tokens, self.positions, self.slots, self.kept]
        sent = [part for part in parts if isinstance(part, Tensor)]
        there = iter(torch.split(torch.cat(sent).to(device), [len(part) for part in sent]))
        tokens, positions, slots, kept = (next(there) if isinstance(part, Tensor) else part for part in parts)
        routing = Routing(self.routing.labels, device)
        clusters, windowed = _sent((self.clusters, self.windowed), device)
        return replace(
            self,
            tokens=tokens,  # type: ignore[arg-type]
            positions=positions,  # type: ignore[arg-type]
            slots=slots,  # type: ignore[arg-type]
            kept=kept,  # type: ignore[arg-type]
            clusters=clusters,
            windowed=windowed,
            kept_clusters=None if self.kept_clusters is None else _sent(self.kept_clusters, device),
            routing=routing,
            kept_routing=routing if kept is None else Routing(self.kept_routing.labels, device),
        )


def _sent(kinds: tuple[list[Cluster], list[Cluster]], device: torch.device) -> tuple[list[Cluster], list[Cluster]]:
    """Both on a device; the same object if they are."""
    clusters, windowed = kinds
    there = [cluster.to(device) for cluster in clusters]
    return there, there if windowed is clusters else [cluster.to(device) for cluster in windowed]


class _Steady:
    """The step of requests that all go on by one token: made once, then moved on in place.

    After a forward pass caches are cold, and a call into torch or numpy takes 5 to 20 µs: so positions and slots are
    made for STEPS steps at a time, tokens are written through `array`, and numpy only changes masks, which are rare.

    rows: the requests in the order of the batch's rows. positions, slots: of the next steps, the next ones last.
    masks: of each cluster, flat, with the places that the next slots have in it. left: steps until one is too narrow.
    """

    def __init__(self, lives: Sequence[Live], batch: Batch, groups: Sequence[Group], rows: Sequence[int]) -> None:
        """rows: the row of each of `lives`."""
        self.batch = batch
        self.places: list[object] = [live.place for live in lives]
        self.used = [live.used for live in lives]
        self.rows = [live for _, live in sorted(zip(rows, lives, strict=True), key=itemgetter(0))]
        self.tokens = array("q", batch.tokens.tolist())
        batch.tokens = torch.frombuffer(self.tokens, dtype=torch.long)
        self.positions: list[Tensor] = []
        self.slots: list[Tensor] = []
        self.masks = [
            None if cluster.mask is None else (_bits(cluster.mask), np.array(group.marks()))
            for cluster, group in zip(batch.clusters, groups, strict=True)
        ]
        self.left = min(live.seen - live.used for live in lives) if any(self.masks) else LONG

    def follows(self, lives: Sequence[Live]) -> bool:
        """Whether `lives` are the same requests, each one slot further."""
        places, used = [live.place for live in lives], [live.used - 1 for live in lives]
        return self.left > 0 and places == self.places and used == self.used

    def next(self, lives: Sequence[Live]) -> Batch:
        """One token further, but for what `windowed` is: the batch of the step before has been used up."""
        batch = self.batch
        self.left -= 1
        self.used = [live.used for live in lives]
        self.tokens[:] = array("q", [live.generated[live.fed - 1] for live in self.rows])
        if not self.positions:
            self.positions = _following(batch.positions)
            self.slots = [] if isinstance(batch.slots, slice) else _following(batch.slots)
        batch.positions = self.positions.pop()
        if isinstance(batch.slots, slice):
            batch.slots = slice(batch.slots.start + 1, batch.slots.stop + 1)
        else:
            batch.slots = self.slots.pop()
        batch.longest += 1
        for cluster, mask in zip(batch.clusters, self.masks, strict=True):
            if mask is None:
                cluster.lengthen()
            else:
                bits, places = mask
                places += 1
                bits[places] = 0
        return batch


def _following(numbers: Tensor) -> list[Tensor]:
    """The same, one further, two further …; the next ones last."""
    return list((numbers + torch.arange(STEPS, 0, -1)[:, None]).unbind())


def _bits(mask: Tensor) -> NDArray[np.signedinteger[Any]]:
    """A mask as numbers in the same memory, flat; of every floating type zero is all zeros."""
    bits: NDArray[np.signedinteger[Any]] = (
        mask.view(-1).view(torch.int32 if mask.itemsize == 4 else torch.int16).numpy()
    )
    return bits


class Batcher:
    """Builds batches for an arena. While the same requests go on token by token, only what has changed is made anew."""

    def __init__(self, arena: Tensor, width: int, window: int | None = None, in_place: bool = True) -> None:
        """width: numbers in all of a query's heads; it decides what attention costs. window: how many tokens some
        layers look over. in_place: move a step's tensors on where they are, which needs them in the memory of numpy."""
        self.arena, self.width, self.window, self.stores = arena, width, window, stores(arena)
        self._in_place = in_place
        self._steady: _Steady | None = None

    def build(self, plan: Plan) -> Batch:
        """The batch of a plan."""
        lives = plan.decoding
        if plan.pieces or not self._in_place:
            self._steady = None
            batch = self._pack([*(live.fed_piece(1) for live in lives), *plan.pieces])[0]
            return batch if self._in_place else batch.to(self.arena.device)
        if self._steady is not None and self._steady.follows(lives):
            batch, ordered = self._steady.next(lives), self._steady.rows
            batch.windowed = self._windowed(batch, batch.clusters, lambda: [live.fed_piece(1) for live in ordered])
            return batch
        batch, groups, rows = self._pack([live.fed_piece(1) for live in lives])
        self._steady = _Steady(lives, batch, groups, rows)
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
            windowed=[],
            kept_clusters=None,
            routing=routing,
            kept_routing=routing if everything else Routing([labels[row] for row in kept]),
            arena=self.arena,
            stores=self.stores,
        )
        batch.windowed = self._windowed(batch, batch.clusters, lambda: ordered)
        if kept and not everything:
            ends = [piece.part(piece.length - 1, piece.length) for piece in ordered if piece.row is not None]
            clusters = [group.cluster(self.arena.dtype) for group in grouped(ends, self.width / 512)]
            batch.kept_clusters = clusters, self._windowed(batch, clusters, lambda: ends)
        return batch, groups, last

    def _windowed(self, batch: Batch, clusters: list[Cluster], pieces: Callable[[], Sequence[Piece]]) -> list[Cluster]:
        """Those of layers with a window, where the others have `clusters`. pieces: whose rows these are, in their
        order, asked for where they are needed."""
        if self.window is None or batch.longest < self.window:
            return clusters
        near = [near for piece in pieces() for near in narrowed(piece, self.window)]
        return [group.cluster(self.arena.dtype) for group in grouped(near, self.width / 512, self.window)]


def numbers(extents: Sequence[Extent]) -> list[int]:
    """Every slot of the extents, in order."""
    return [slot for extent in extents for slot in range(extent.start, extent.end)]


def as_rows(slots: list[int]) -> Rows:
    """A slice where they follow each other."""
    first = slots[0]
    in_order = slots == list(range(first, first + len(slots)))
    return slice(first, first + len(slots)) if in_order else torch.tensor(slots)

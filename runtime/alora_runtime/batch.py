"""The pieces of one step as tensors: packed tokens, where their KV goes, what each sees, whose adapter it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .clusters import Cluster, clustered
from .extents import Extent
from .routing import Routing, Rows
from .sequence import Piece

__all__ = ["Batch", "Cluster", "build_batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward pass over `rows` packed tokens.

    tokens, positions: `[rows]`. slots: where their KV is written (the last slot of the arena for rows whose KV is in
    place already). kept: the rows whose hidden state is wanted, in the order of the pieces that keep one; None: all.
    routing, kept_routing: the adapters of all rows, and of the kept ones.
    """

    tokens: Tensor
    positions: Tensor
    slots: Rows
    kept: Tensor | None
    clusters: tuple[Cluster, ...]
    routing: Routing
    kept_routing: Routing
    arena: Tensor


def build_batch(pieces: Sequence[Piece], arena: Tensor) -> Batch:
    """Pack pieces into rows: neighbours in the tree become neighbours in the batch, so that clusters are slices."""
    order = sorted(range(len(pieces)), key=lambda index: (pieces[index].context, pieces[index].start))
    ordered = [pieces[index] for index in order]
    trash = arena.shape[1] - 1
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
        slots += [trash] if piece.slots is None else numbers(piece.slots)
        last[index] = len(tokens) - 1
    kept = [row for row, piece in zip(last, pieces, strict=True) if piece.row is not None]
    routing = Routing(labels)
    everything = kept == list(range(len(tokens)))
    return Batch(
        tokens=torch.tensor(tokens),
        positions=torch.tensor(positions),
        slots=_slots(slots),
        kept=None if everything else torch.tensor(kept, dtype=torch.long),
        clusters=tuple(clustered(ordered, arena.dtype)),
        routing=routing,
        kept_routing=routing if everything else Routing([labels[row] for row in kept]),
        arena=arena,
    )


def numbers(extents: Sequence[Extent]) -> list[int]:
    """Every slot of the extents, in order."""
    return [slot for extent in extents for slot in range(extent.start, extent.end)]


def _slots(slots: list[int]) -> Rows:
    first = slots[0]
    in_order = slots == list(range(first, first + len(slots)))
    return slice(first, first + len(slots)) if in_order else torch.tensor(slots)

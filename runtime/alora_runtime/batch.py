"""The pieces of one step as tensors: packed tokens, where their KV goes, what each sees, whose adapter it carries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from .extents import Extent, size, union
from .sequence import Piece

CALL, GATHER = 10_000, 24
"""What one more attention call costs, and reading one slot that must be gathered first, in row-slot pairs (measured on
two CPU cores: 60 µs a call, 6 ns a pair, 150 ns a slot)."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows `first` … `last - 1` of the batch, attending together to the union of their slots.

    view: the slots, when they are one extent (read in place); else `index`, their numbers `[slots]` (gathered).
    mask: `[rows, slots]`, 0 where a row may look and -inf elsewhere; None: every row sees all, or `causal`.
    """

    first: int
    last: int
    view: slice | None
    index: Tensor | None
    mask: Tensor | None
    causal: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward pass over `rows` packed tokens; it travels to every layer through the model's keyword arguments.

    tokens, positions: `[1, rows]`. slots `[rows]`: where K and V are written (the last slot of the arena for rows whose
    KV is in place already). kept: the rows whose hidden state is wanted, in the order of the pieces that keep one.
    adapters: for each adapter in use its rows, a slice where they are neighbours and `[n]` numbers otherwise.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    kept: Tensor
    clusters: tuple[Cluster, ...]
    adapters: tuple[tuple[int, slice | Tensor], ...]
    arena: Tensor


def build_batch(pieces: Sequence[Piece], arena: Tensor) -> Batch:
    """Pack pieces into rows: neighbours in the tree become neighbours in the batch, so that clusters are slices."""
    order = sorted(range(len(pieces)), key=lambda index: (pieces[index].context, pieces[index].start))
    ordered = [pieces[index] for index in order]
    trash = arena.shape[2] - 1
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    adapters: list[int] = []
    last = [0] * len(pieces)
    for index, piece in zip(order, ordered, strict=True):
        for adapter, part in piece.runs:
            tokens += part
            adapters += [adapter] * len(part)
        positions += range(piece.start, piece.start + piece.length)
        slots += [trash] if piece.slots is None else numbers(piece.slots)
        last[index] = len(tokens) - 1
    kept = [row for row, piece in zip(last, pieces, strict=True) if piece.row is not None]
    return Batch(
        tokens=torch.tensor([tokens]),
        positions=torch.tensor([positions]),
        slots=torch.tensor(slots),
        kept=torch.tensor(kept, dtype=torch.long),
        clusters=tuple(_clusters(ordered, arena.dtype)),
        adapters=tuple(rows_by_adapter(adapters)),
        arena=arena,
    )


def numbers(extents: Sequence[Extent]) -> list[int]:
    """Every slot of the extents, in order."""
    return [slot for extent in extents for slot in range(extent.start, extent.end)]


def rows_by_adapter(adapters: Sequence[int]) -> list[tuple[int, slice | Tensor]]:
    """The rows of each adapter but the base (0)."""
    rows: dict[int, list[int]] = {}
    for row, adapter in enumerate(adapters):
        if adapter:
            rows.setdefault(adapter, []).append(row)
    return [
        (adapter, slice(own[0], own[-1] + 1) if own[-1] - own[0] + 1 == len(own) else torch.tensor(own))
        for adapter, own in sorted(rows.items())
    ]


def _clusters(pieces: Sequence[Piece], dtype: torch.dtype) -> list[Cluster]:
    """Put neighbours together as long as that costs less than attending separately."""
    clusters: list[Cluster] = []
    members: list[Piece] = []
    slots: list[Extent] = []
    first, rows = 0, 0
    for piece in pieces:
        alone, together = union(piece.context), union([*slots, *piece.context])
        if members and _cost(rows + piece.length, together) > _cost(rows, slots) + _cost(piece.length, alone):
            clusters.append(_cluster(members, first, slots, dtype))
            members, together, first, rows = [], alone, first + rows, 0
        members.append(piece)
        slots, rows = together, rows + piece.length
    return [*clusters, _cluster(members, first, slots, dtype)]


def _cost(rows: int, slots: Sequence[Extent]) -> int:
    width = size(slots)
    return CALL + rows * width + (GATHER * width if len(slots) > 1 else 0)


def _cluster(pieces: Sequence[Piece], first: int, slots: Sequence[Extent], dtype: torch.dtype) -> Cluster:
    rows, width = sum(piece.length for piece in pieces), size(slots)
    alone = len(pieces) == 1
    in_order = alone and len(slots) == len(pieces[0].context) == 1
    view = slice(slots[0].start, slots[0].end) if len(slots) == 1 else None
    index = None if view else torch.tensor(numbers(slots))
    causal = in_order and rows == width > 1
    mask = None if causal or (alone and rows == 1) else _mask(pieces, rows, slots, width, dtype)
    return Cluster(first, first + rows, view, index, mask, causal)


def _mask(pieces: Sequence[Piece], rows: int, slots: Sequence[Extent], width: int, dtype: torch.dtype) -> Tensor:
    mask = torch.full((rows, width), float("-inf"), dtype=dtype)
    starts = [extent.start for extent in slots]
    columns = [0, *accumulate(extent.length for extent in slots)]
    row = 0
    for piece in pieces:
        part = mask[row : row + piece.length]
        seen = torch.arange(piece.start + 1, piece.start + piece.length + 1)[:, None]  # positions that each row sees
        position = 0
        for extent in piece.context:
            whole = bisect_right(starts, extent.start) - 1
            column = columns[whole] + extent.start - starts[whole]
            block = part[:, column : column + extent.length]
            if position + extent.length <= piece.start + 1:
                block.zero_()
            else:
                block.masked_fill_(torch.arange(position, position + extent.length) < seen, 0.0)
            position += extent.length
        row += piece.length
    return mask

"""Which rows attend together, over which slots: as few calls as pay, and each shared prefix read once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from .extents import Extent, size, union, window
from .sequence import Piece

CALL, READ, PAIR, GATHER = 20_000, 60, 25, 180
"""Nanoseconds for one more attention call, for reading a slot, for a row to look at it, and for gathering it first
(measured on two CPU cores with 8 heads of 64; other shapes keep about these proportions)."""

PREFIX = 32
"""Shared prefixes shorter than this are not worth a call of their own."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows `first` … `last - 1` of the batch, attending together.

    prefix: slots that every row sees, read in place; None without a shared prefix. The rest are `width` slots:
    view, when they are one extent (read in place), else index, their numbers `[width]` (gathered).
    mask: `[rows, width]`, 0 where a row may look and -inf elsewhere; None: every row sees all, or `causal`.
    """

    first: int
    last: int
    prefix: slice | None
    width: int
    view: slice | None
    index: Tensor | None
    mask: Tensor | None
    causal: bool


def clustered(pieces: Sequence[Piece], dtype: torch.dtype) -> list[Cluster]:
    """Put neighbours together as long as that costs less than attending separately."""
    groups = [_Group([pieces[0]], 0)]
    for piece in pieces[1:]:
        group = groups[-1]
        alone, together = _Group([piece], group.last), _Group([*group.pieces, piece], group.first)
        if together.cost <= group.cost + alone.cost:
            groups[-1] = together
        else:
            groups.append(alone)
    return [group.cluster(dtype) for group in groups]


class _Group:
    """Pieces that might attend together, from row `first` on."""

    def __init__(self, pieces: list[Piece], first: int) -> None:
        self.pieces, self.first = pieces, first
        self.rows = sum(piece.length for piece in pieces)
        self.last = first + self.rows
        self.prefix = self._prefix()
        self.slots = union(extent for piece in pieces for extent in self._rest(piece))

    def _prefix(self) -> Extent | None:
        """Slots at the beginning that all rows see; what is after them is not empty for any row."""
        heads = [piece.context[0] for piece in self.pieces]
        start = heads[0].start
        if any(head.start != start for head in heads):
            return None
        length = min(min(head.length, piece.start) for head, piece in zip(heads, self.pieces, strict=True))
        alone = len(self.pieces) == self.rows == len(self.pieces[0].context) == 1
        return None if alone or length < PREFIX else Extent(start, length)

    def _rest(self, piece: Piece) -> list[Extent]:
        length = self.prefix.length if self.prefix else 0
        return window(piece.context, length, piece.start + piece.length)

    @property
    def cost(self) -> int:
        """Nanoseconds, about."""
        width = size(self.slots)
        rest = CALL + width * (READ + PAIR * self.rows + (GATHER if len(self.slots) > 1 else 0))
        return rest + (2 * CALL + self.prefix.length * (READ + PAIR * self.rows) if self.prefix else 0)

    def cluster(self, dtype: torch.dtype) -> Cluster:
        slots, width = self.slots, size(self.slots)
        alone = len(self.pieces) == 1
        in_order = alone and len(slots) == len(self._rest(self.pieces[0])) == 1
        causal = in_order and self.rows == width > 1
        return Cluster(
            first=self.first,
            last=self.last,
            prefix=slice(self.prefix.start, self.prefix.end) if self.prefix else None,
            width=width,
            view=slice(slots[0].start, slots[0].end) if len(slots) == 1 else None,
            index=torch.tensor([n for slot in slots for n in range(*slot_range(slot))]) if len(slots) > 1 else None,
            mask=None if causal or (alone and self.rows == 1) else self._mask(width, dtype),
            causal=causal,
        )

    def _mask(self, width: int, dtype: torch.dtype) -> Tensor:
        mask = torch.full((self.rows, width), float("-inf"), dtype=dtype)
        starts = [extent.start for extent in self.slots]
        columns = [0, *accumulate(extent.length for extent in self.slots)]
        before = self.prefix.length if self.prefix else 0
        row = 0
        for piece in self.pieces:
            part = mask[row : row + piece.length]
            position = before
            for extent in self._rest(piece):
                whole = bisect_right(starts, extent.start) - 1
                column = columns[whole] + extent.start - starts[whole]
                _unmask(part[:, column : column + extent.length], position, piece.start)
                position += extent.length
            row += piece.length
        return mask


def _unmask(block: Tensor, position: int, start: int) -> None:
    """Let rows of positions `start` … see columns of positions `position` … up to their own."""
    rows, width = block.shape
    if position + width <= start + 1:
        block.zero_()
    else:
        seen = torch.arange(start + 1, start + rows + 1)[:, None]
        block.masked_fill_(torch.arange(position, position + width) < seen, 0.0)


def slot_range(extent: Extent) -> tuple[int, int]:
    """Its bounds."""
    return extent.start, extent.end

"""Which rows attend together, over which slots: as few calls as pay, and each shared prefix read once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from alora_runtime.cache.extents import Extent, size, union
from alora_runtime.cache.extents import window as within
from alora_runtime.schedule.sequence import Piece

CALL, READ, PAIR, GATHER = 20_000, 60, 25, 180
"""Nanoseconds for one more attention call, for reading a slot, for a row to look at it, and for gathering it first
(measured on two CPU cores with 8 heads of 64; other shapes keep about these proportions)."""

PREFIX, SHARED = 192, 32
"""Prefixes shorter than this are not worth a call of their own, for one row or a few, and for several."""

HOLE = 64
"""Up to so many slots that no row looks at are read along, when that spares gathering. The arena starts as zeros, and
nothing that is not finite stays in it (`isolation`), so that masked slots do no harm."""

BLOCK = 128
"""Rows from which on a piece beyond its window is cut, and each part reads its own slots."""

END = 1 << 60
"""A position after all others."""


@dataclass(slots=True)
class Cluster:
    """Rows `first` … `last - 1` of the batch, attending together.

    prefix: slots that every row sees, read in place; None without a shared prefix. The rest are `width` slots:
    view, when they are one extent (read in place), else index, their numbers `[width]` (gathered).
    stride: set when each row has slots of its own and row n's `width` slots begin n * stride after the view's start.
    mask: `[rows, width]`, 0 where a row may look and -inf elsewhere; None: every row sees all of them (with a stride:
    of its own), or `causal`.
    """

    first: int
    last: int
    prefix: slice | None
    width: int
    view: slice | None
    index: Tensor | None
    mask: Tensor | None
    causal: bool
    stride: int | None = None

    def lengthen(self) -> None:
        """Without a mask: let every row see one slot more."""
        assert self.view is not None
        self.width, self.view = self.width + 1, slice(self.view.start, self.view.stop + 1)

    def to(self, device: torch.device) -> Cluster:
        """The same with its tensors on a device."""
        index, mask = (None if part is None else part.to(device) for part in (self.index, self.mask))
        return replace(self, index=index, mask=mask)

    def whole_mask(self, slots: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """`[rows, slots]` over prefix and rest, 0 where a row may look and -inf elsewhere; None: everywhere."""
        if self.mask is None and not self.causal:
            return None
        rows = self.last - self.first
        mask = torch.zeros(rows, slots, dtype=dtype, device=device)
        rest = mask[:, slots - self.width :]
        if self.causal:
            rest += torch.full(rest.shape, float("-inf"), dtype=dtype, device=device).triu(1)
        else:
            rest += self.mask  # type: ignore[arg-type]
        return mask

    def by_row(self) -> list[Cluster]:
        """The same without a stride: rows with slots of their own one by one."""
        if self.stride is None:
            return [self]
        assert self.view is not None
        starts = [self.view.start + row * self.stride for row in range(self.last - self.first)]
        return [
            replace(
                self,
                first=self.first + row,
                last=self.first + row + 1,
                view=slice(start, start + self.width),
                mask=None if self.mask is None else self.mask[row : row + 1],
                stride=None,
            )
            for row, start in enumerate(starts)
        ]


def narrowed(piece: Piece, window: int) -> list[Piece]:
    """A piece without the slots that no row of it sees, whose positions are counted from the first one left; cut into
    several where their windows together are smaller. For `grouped`, no piece of any sequence."""
    parts, block = [piece], max(BLOCK, window // 4)
    if piece.length > block:
        near = max(0, window - piece.start)  # rows that see everything before them
        cuts = [0, *range(near or block, piece.length, block), piece.length]
        parts = [piece.part(first, last) for first, last in pairwise(cuts)]
    hidden = [max(0, part.start + 1 - window) for part in parts]
    return [
        replace(part, start=part.start - before, context=within(part.context, before, END)) if before else part
        for part, before in zip(parts, hidden, strict=True)
    ]


def grouped(pieces: Sequence[Piece], scale: float = 1.0, window: int | None = None) -> list[Group]:
    """Put neighbours together as long as that costs less than attending separately. `scale`: how wide queries are, over
    those that costs were measured with. `window`: over how many slots a row looks, of pieces that are `narrowed` to
    that; None: over all."""
    groups = [Group([pieces[0]], 0, window=window)]
    for piece in pieces[1:]:
        group = groups[-1]
        alone = Group([piece], group.last, window=window)
        together = Group([*group.pieces, piece], group.first, group, window)
        if together.cost(scale) <= group.cost(scale) + alone.cost(scale):
            groups[-1] = together
        else:
            groups.append(alone)
    return groups


class Group:
    """Pieces that attend together, from row `first` on; `smaller`: the group without the last of them."""

    def __init__(
        self, pieces: list[Piece], first: int, smaller: Group | None = None, window: int | None = None
    ) -> None:
        self.pieces, self.first, self.window = pieces, first, window
        self.rows: int = pieces[-1].length + (smaller.rows if smaller else 0)
        self.last = first + self.rows
        self.shared = self._shared(smaller)
        self.prefix = self._prefix()
        before = self.prefix.length if self.prefix else 0
        exact = within(pieces[0].context, before, pieces[0].start + pieces[0].length) if len(pieces) == 1 else []
        # One piece over one extent needs no mask: it sees all, or all up to itself.
        self.plain = len(exact) == 1 and self.rows in (1, exact[0].length) and not self._banded(pieces[0])
        if smaller and (smaller.plain or smaller.prefix != self.prefix):
            smaller = None
        if self.plain:
            self.rests = [exact]
        elif smaller:
            self.rests = [*smaller.rests, within(pieces[-1].context, before, END)]
        else:
            self.rests = [within(piece.context, before, END) for piece in pieces]
        self.stride = self._stride(smaller)
        self.slots = [] if self.stride else self._slots(smaller)
        self.width = self.rests[0][0].length if self.stride else size(self.slots)

    def _banded(self, piece: Piece) -> bool:
        """Whether later rows of it no longer see what the first one does."""
        return self.window is not None and piece.start + piece.length > self.window

    def _shared(self, smaller: Group | None) -> Extent | None:
        """Slots at the beginning of the context that all rows see."""
        piece = self.pieces[-1]
        start, length = piece.context[0]
        own = Extent(start, 0 if self._banded(piece) else min(length, piece.start))
        if smaller is None:
            return own
        other = smaller.shared
        return Extent(start, min(own.length, other.length)) if other and other.start == start else None

    def _prefix(self) -> Extent | None:
        """The shared slots, where reading them apart pays; what is after them is not empty for any row."""
        first = self.pieces[0]
        in_place = len(self.pieces) == self.rows == 1 and first.context[0].length > first.start
        least = SHARED if len(self.pieces) > 3 else PREFIX
        return self.shared if self.shared and self.shared.length >= least and not in_place else None

    def _stride(self, smaller: Group | None) -> int | None:
        """The distance between the slots of one row and the next, where they are alike: as siblings of one prefix are
        that were admitted together. Then each row looks at its own slots only."""
        if len(self.pieces) < 2 or self.rows != len(self.pieces) or any(len(rest) != 1 for rest in self.rests[-2:]):
            return None
        (before,), (last,) = self.rests[-2:]
        step = last.start - before.start
        if smaller and len(smaller.pieces) > 1:
            return step if smaller.stride == step and last.length == before.length else None
        starts = [rest[0].start for rest in self.rests]
        alike = all(len(rest) == 1 and rest[0].length == last.length for rest in self.rests)
        return step if step > 0 and alike and starts == list(range(starts[0], starts[-1] + 1, step)) else None

    @property
    def _even(self) -> int:
        """How many slots of its own every row has, where that is the same for all (no mask then); else 0."""
        start, before = self.pieces[0].start, self.prefix.length if self.prefix else 0
        return start + 1 - before if self.stride and all(piece.start == start for piece in self.pieces) else 0

    def _slots(self, smaller: Group | None) -> list[Extent]:
        """What all rows together look at."""
        known = smaller.union if smaller and not smaller.stride else []
        new = self.rests[-1:] if smaller and not smaller.stride else self.rests
        self.union: list[Extent] = union([*known, *(extent for rest in new for extent in rest)])
        return spanned(self.union)

    def cost(self, scale: float) -> float:
        """Nanoseconds, about."""
        look = scale * (READ + PAIR * self.rows)
        gather = scale * GATHER if len(self.slots) > 1 else 0
        # Without a mask the kernel leaves out what no row sees, half of a piece's own slots.
        rest = CALL + self.width * (look + gather) / (2 if self.plain and self.rows > 1 else 1)
        if self.stride:
            rest = CALL + scale * self.rows * self.width * (READ + PAIR)
        return rest + (2 * CALL + self.prefix.length * look if self.prefix else 0)

    def cluster(self, dtype: torch.dtype) -> Cluster:
        """As attention wants it."""
        slots, prefix = self.slots, slice(self.prefix.start, self.prefix.end) if self.prefix else None
        if self.stride:
            view = slice(self.rests[0][0].start, self.rests[-1][0].end)
            width, mask = self._even or self.width, None if self._even else self._own_mask(dtype)
            return Cluster(self.first, self.last, prefix, width, view, None, mask, False, self.stride)
        return Cluster(
            first=self.first,
            last=self.last,
            prefix=prefix,
            width=self.width,
            view=slice(slots[0].start, slots[0].end) if len(slots) == 1 else None,
            index=torch.cat([torch.arange(slot.start, slot.end) for slot in slots]) if len(slots) > 1 else None,
            mask=None if self.plain else self._mask(dtype),
            causal=self.plain and self.rows > 1,
        )

    def marks(self) -> list[int]:
        """For one-token pieces: where in the mask each row's own slot is, in row order; none without a mask."""
        if self.plain or self._even:
            return []
        width, before = self.width, self.prefix.length if self.prefix else 0
        own = [piece.start - before for piece in self.pieces]
        if not self.stride:
            own = [self._column(within(rest, place, place + 1)[0]) for place, rest in zip(own, self.rests, strict=True)]
        return [row * width + column for row, column in enumerate(own)]

    def _column(self, extent: Extent) -> int:
        column = 0
        for slot in self.slots:
            if slot.start <= extent.start < slot.end:
                return column + extent.start - slot.start
            column += slot.length
        raise AssertionError

    def _own_mask(self, dtype: torch.dtype) -> Tensor:
        """As `_mask`, where each row has its own columns."""
        before = self.prefix.length if self.prefix else 0
        lengths = torch.tensor([piece.start + 1 - before for piece in self.pieces])
        hidden = torch.arange(self.width) >= lengths[:, None]
        return torch.zeros(self.rows, self.width, dtype=dtype).masked_fill_(hidden, float("-inf"))

    def _mask(self, dtype: torch.dtype) -> Tensor:
        mask = torch.full((self.rows, self.width), float("-inf"), dtype=dtype)
        starts = [extent.start for extent in self.slots]
        columns = [0, *accumulate(extent.length for extent in self.slots)]
        before = self.prefix.length if self.prefix else 0
        row = 0
        for piece, rest in zip(self.pieces, self.rests, strict=True):
            part = mask[row : row + piece.length]
            position = before
            for extent in rest:
                whole = bisect_right(starts, extent.start) - 1
                column = columns[whole] + extent.start - starts[whole]
                _unmask(part[:, column : column + extent.length], position, piece.start, self.window)
                position += extent.length
            row += piece.length
        return mask


def spanned(slots: list[Extent]) -> list[Extent]:
    """One extent over all, where the holes between are small enough."""
    if len(slots) > 1 and slots[-1].end - slots[0].start <= size(slots) + HOLE:
        return [Extent(slots[0].start, slots[-1].end - slots[0].start)]
    return slots


def _unmask(block: Tensor, position: int, start: int, window: int | None) -> None:
    """Let rows of positions `start` … see columns of positions `position` … up to their own, the last `window` only."""
    rows, width = block.shape
    hidden = 0 if window is None else start + rows - window  # positions that the last row no longer sees
    if position + width <= start + 1 and position >= hidden:
        block.zero_()
    elif position < start + rows:
        row = torch.arange(start, start + rows)[:, None]
        column = torch.arange(position, position + width)
        seen = column <= row
        if position < hidden:
            seen &= column > row + hidden - start - rows
        block.masked_fill_(seen, 0.0)

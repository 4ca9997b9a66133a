"""Slots of the arena as integers: extents, and who may have them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Extent(NamedTuple):
    """Slots `start` … `start + length - 1`."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The slot after the last."""
        return self.start + self.length


def joined(extents: Iterable[Extent]) -> list[Extent]:
    """The same slots in the same order, with neighbours that continue each other made one."""
    result: list[Extent] = []
    for extent in extents:
        if result and result[-1].end == extent.start:
            result[-1] = Extent(result[-1].start, result[-1].length + extent.length)
        elif extent.length:
            result.append(extent)
    return result


def window(extents: Iterable[Extent], start: int, end: int) -> list[Extent]:
    """The slots of sequence positions `start` … `end - 1`, where `extents` lists those of positions 0, 1, 2 …"""
    result, position = [], 0
    for extent in extents:
        low, high = max(start, position), min(end, position + extent.length)
        if low < high:
            result.append(Extent(extent.start + low - position, high - low))
        position += extent.length
    return result


def size(extents: Iterable[Extent]) -> int:
    """How many slots."""
    return sum(extent.length for extent in extents)


def union(extents: Iterable[Extent]) -> list[Extent]:
    """Every slot once, in slot order."""
    result: list[Extent] = []
    for extent in sorted(extents):
        if result and extent.start <= result[-1].end:
            result[-1] = Extent(result[-1].start, max(result[-1].end, extent.end) - result[-1].start)
        else:
            result.append(extent)
    return result


def without(extents: Iterable[Extent], taken: Iterable[Extent]) -> list[Extent]:
    """The slots of `extents` that are not in `taken`."""
    holes = union(taken)
    result = []
    for start, length in extents:
        end = start + length
        for hole in holes:
            if start < hole.end and hole.start < end:
                result.append(Extent(start, max(0, hole.start - start)))
                start = hole.end
        result.append(Extent(start, max(0, end - start)))
    return [extent for extent in result if extent.length]


class SlotPool:
    """The free slots of an arena, as sorted gaps that never touch."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._gaps = [Extent(0, total)] if total else []

    @property
    def gaps(self) -> Sequence[Extent]:
        """Free extents in slot order."""
        return tuple(self._gaps)

    def take(self, count: int, beyond: int = 0) -> list[Extent]:
        """`count` slots: one extent where a gap is large enough, else the largest gaps in turn. Of several gaps the
        smallest that leaves `beyond` more slots behind the extent, for what will grow there."""
        assert count <= self.free, f"{count} slots asked of {self.free}"
        taken: list[Extent] = []
        while count:
            part = self.take_at(self._gap(count, beyond).start, count)
            taken.append(part)
            count -= part.length
        return taken

    def grow(self, start: int, least: int, most: int) -> list[Extent]:
        """From `least` to `most` slots, from `start` on where those are free, the others together elsewhere."""
        here = self.take_at(start, most)
        if here.length >= least:
            return [here]
        there = self.take(least - here.length, most - least)
        return [here, *there, self.take_at(there[-1].end, most - least)]

    def take_at(self, start: int, most: int) -> Extent:
        """Up to `most` slots from `start` on; an empty extent when `start` is not free."""
        index = bisect_left(self._gaps, (start + 1,)) - 1
        if index < 0 or not (gap := self._gaps[index]).start <= start < gap.end:
            return Extent(start, 0)
        part = Extent(start, min(most, gap.end - start))
        rest = [Extent(gap.start, start - gap.start), Extent(part.end, gap.end - part.end)]
        self._gaps[index : index + 1] = [piece for piece in rest if piece.length]
        self.free -= part.length
        return part

    def _gap(self, count: int, beyond: int) -> Extent:
        for wanted in (count + beyond, count):
            fitting = [gap for gap in self._gaps if gap.length >= wanted]
            if fitting:
                return min(fitting, key=lambda gap: gap.length)
        return max(self._gaps, key=lambda gap: gap.length)

    def give(self, extent: Extent) -> None:
        """Take slots back."""
        if not extent.length:
            return
        index = bisect_left(self._gaps, extent)
        low, high = index, index
        start, end = extent.start, extent.end
        if index and self._gaps[index - 1].end == start:
            low, start = index - 1, self._gaps[index - 1].start
        if index < len(self._gaps) and self._gaps[index].start == end:
            high, end = index + 1, self._gaps[index].end
        self._gaps[low:high] = [Extent(start, end - start)]
        self.free += extent.length

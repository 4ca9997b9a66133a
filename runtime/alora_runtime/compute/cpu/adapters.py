"""Low-rank updates on a processor: the adapters of a batch side by side as one product."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from alora_runtime.adapters.routing import Routing
from alora_runtime.compute.cpu.threads import one_thread
from alora_runtime.compute.processor import Update

FEW = 64
"""Up to so many rows all adapters are computed at once on all rows and masked: three operations, however many adapters
there are. With more rows each adapter computes its own."""

NARROW = 96
"""Up to so many columns, multiplying zeros is cheaper than calling an operation for each part."""

KEPT = 8
"""Sets of adapters whose joined matrices are kept."""


@dataclass(frozen=True)
class Joined:
    """Some adapters side by side. ranks: adapter and rank, in the order of columns of down `[inputs, sum of ranks]`.
    ups: (columns of down's output, outputs, up `[columns, outputs]`)."""

    ranks: tuple[tuple[int, int], ...]
    down: Tensor
    ups: tuple[tuple[slice, slice, Tensor], ...]

    def add_to(self, output: Tensor, narrow: Tensor, scale: float) -> None:
        """`[rows, sum of ranks]` onto `[rows, outputs]`."""
        for columns, outputs, up in self.ups:
            output[:, outputs].addmm_(narrow[:, columns], up, alpha=scale)


class JoinedAdapters:
    """The adapters of one projection with so many outputs."""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs
        self._updates: dict[int, list[Update]] = {}
        self._joined: dict[tuple[int, ...], Joined | None] = {}

    def put(self, number: int, updates: list[Update]) -> None:
        """Take an adapter's updates."""
        self._joined.clear()
        self._updates[number] = updates

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        self._updates.pop(number, None)
        self._joined.clear()

    def add_to(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        """Onto `[rows, outputs]`, of `[rows, inputs]`."""
        if not self._updates:
            return
        if routing.everywhere is not None or len(hidden) <= FEW:
            self._masked(output, hidden, routing, scale)
        else:
            self._by_rows(output, hidden, routing, scale)

    def _masked(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        joined = self._join(routing.numbers)
        if joined is None:
            return
        with one_thread() if 2 < len(hidden) <= FEW else nullcontext():
            narrow = torch.mm(hidden, joined.down)
            if routing.everywhere is None:
                # Not multiplied by zero: where another's update overflows, that would not be zero.
                narrow.masked_fill_(routing.others(joined.ranks), 0.0)
            joined.add_to(output, narrow, scale)

    def _by_rows(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        for number, rows in routing.adapters:
            joined = self._join((number,))
            if joined is None:
                continue
            part = output[rows]
            joined.add_to(part, torch.mm(hidden[rows], joined.down), scale)
            if not isinstance(rows, slice):  # then it is a copy
                output[rows] = part

    def _join(self, numbers: tuple[int, ...]) -> Joined | None:
        if numbers not in self._joined:
            if len(self._joined) == KEPT:
                del self._joined[next(iter(self._joined))]
            own = [(number, update) for number in numbers for update in self._updates.get(number, ())]
            self._joined[numbers] = _side_by_side(own, self._outputs) if own else None
        return self._joined[numbers]


def _side_by_side(updates: Sequence[tuple[int, Update]], outputs: int) -> Joined:
    """Sorted by part. A few columns go up through one matrix with zeros in it, many through one for each part."""
    updates = sorted(updates, key=lambda item: item[1].columns.start)
    ranks = tuple((number, update.down.shape[1]) for number, update in updates)
    down = torch.cat([update.down for _, update in updates], dim=1)
    ups, first = [], 0
    for (begin, end), group in groupby(updates, key=lambda item: (item[1].columns.start, item[1].columns.stop)):
        up = torch.cat([update.up for _, update in group])
        ups.append((slice(first, first + len(up)), slice(begin, end), up))
        first += len(up)
    if len(ups) > 1 and first <= NARROW:
        whole = down.new_zeros(first, outputs)
        for columns, part, up in ups:
            whole[columns, part] = up
        ups = [(slice(0, first), slice(0, outputs), whole)]
    return Joined(ranks, down, tuple(ups))

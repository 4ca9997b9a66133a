"""Linear layers that read the same input as one matrix, with low-rank updates on the rows that carry an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alora_runtime.adapters.routing import Routing
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute.matrix import Dense, Int8, packed, times_packed

FEW = 64
"""Up to so many rows all adapters are computed at once on all rows and masked: three operations, however many adapters
there are. With more rows each adapter computes its own."""

NARROW = 96
"""Up to so many columns, multiplying zeros is cheaper than calling an operation for each part."""

LARGE = 1 << 20
"""From so many elements on the output matrix is kept in oneDNN's layout, too: three rows and more take half the time or
less, because the usual one is read again for every four rows."""

KEPT = 8
"""Sets of adapters whose joined matrices are kept."""


@contextmanager
def one_thread() -> Iterator[None]:
    """For products so small that to wake the other threads takes longer. Up to two rows they are left to one anyway.

    A thread of the application's that uses torch for the first time meanwhile stays with one; others are not touched.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Part:
    """One Linear of a projection. order: `[outputs]`, the order that its outputs are wanted in; None: as they are."""

    name: str
    linear: nn.Linear
    order: Tensor | None = None

    def outputs(self, tensor: Tensor) -> Tensor:
        """`[outputs, …]` in the order wanted."""
        return tensor if self.order is None else tensor[self.order]


@dataclass(frozen=True)
class Update:
    """One adapter at one part: down `[inputs, rank]`, up `[rank, outputs of the part]`, and which outputs those are."""

    columns: slice
    down: Tensor
    up: Tensor


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


class Projection:
    """`[rows, inputs]` → `[rows, outputs]`, the outputs of all parts side by side."""

    def __init__(self, kind: type[Dense | Int8], *parts: Part) -> None:
        weight = torch.cat([part.outputs(part.linear.weight.detach()) for part in parts])
        self.matrix, self.outputs, self.dtype = kind(weight), len(weight), weight.dtype
        self.bias = self._biases(parts)
        self._places = {}
        start = 0
        for part in parts:
            end = start + part.linear.weight.shape[0]
            self._places[part.name] = (part, start, end)
            start = end
        self._updates: dict[int, list[Update]] = {}
        self._joined: dict[tuple[int, ...], Joined | None] = {}

    def _biases(self, parts: Sequence[Part]) -> Tensor | None:
        if all(part.linear.bias is None for part in parts):
            return None
        zeros = [torch.zeros(part.linear.weight.shape[0], dtype=self.dtype) for part in parts]
        biases = [
            zero if part.linear.bias is None else part.linear.bias for part, zero in zip(parts, zeros, strict=True)
        ]
        return torch.cat([part.outputs(bias.detach()) for part, bias in zip(parts, biases, strict=True)])

    def put(self, number: int, updates: Mapping[str, LowRank]) -> None:
        """Take an adapter's updates of the own parts, if there are any."""
        self._joined.clear()
        own = []
        for name, update in updates.items():
            if name in self._places:
                part, start, end = self._places[name]
                up = part.outputs(update.up).t().contiguous()
                own.append(Update(slice(start, end), update.down.t().contiguous(), up))
        if own:
            self._updates[number] = own

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        self._updates.pop(number, None)
        self._joined.clear()

    def __call__(self, hidden: Tensor, routing: Routing) -> Tensor:
        """Base and updates."""
        output = self.matrix.times(hidden)
        return self._finish(output, hidden, routing, 1.0)

    def add_to(self, residual: Tensor, hidden: Tensor, routing: Routing, scale: float) -> Tensor:
        """`residual + scale * self(hidden)`."""
        output = self.matrix.plus_times(residual, hidden, scale)
        return self._finish(output, hidden, routing, scale)

    def _finish(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> Tensor:
        if self.bias is not None:
            output.add_(self.bias, alpha=scale)
        if routing.adapters and self._updates:
            if routing.everywhere is not None or len(hidden) <= FEW:
                self._adapt_masked(output, hidden, routing, scale)
            else:
                self._adapt_by_rows(output, hidden, routing, scale)
        return output

    def _adapt_masked(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        joined = self._join(routing.numbers)
        if joined is None:
            return
        with one_thread() if 2 < len(hidden) <= FEW else nullcontext():
            narrow = torch.mm(hidden, joined.down)
            if routing.everywhere is None:
                # Not multiplied by zero: where another's update overflows, that would not be zero.
                narrow.masked_fill_(routing.others(joined.ranks), 0.0)
            joined.add_to(output, narrow, scale)

    def _adapt_by_rows(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
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
            self._joined[numbers] = _side_by_side(own, self.outputs) if own else None
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


class Head:
    """Hidden states to logits. `weight` is `[vocabulary, hidden]`, often the embedding's own."""

    def __init__(self, linear: nn.Linear, vocabulary: int, divisor: float) -> None:
        self.weight = linear.weight.detach()[:vocabulary]
        self.bias = None if linear.bias is None else linear.bias.detach()[:vocabulary]
        self.divisor = divisor
        self._packed = packed(self.weight) if self.weight.numel() >= LARGE else None

    def __call__(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        if self._packed is not None and 2 < len(rows) <= FEW:
            logits = times_packed(rows, self._packed, self.bias)
        else:
            logits = F.linear(rows, self.weight, self.bias)
        logits = logits.float()
        return logits if self.divisor == 1.0 else logits / self.divisor

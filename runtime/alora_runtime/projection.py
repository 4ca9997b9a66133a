"""Linear layers that read the same input as one matrix, with low-rank updates on the rows that carry an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .adapters import LowRank
from .matrix import Dense, Int8
from .routing import Routing

FEW = 64
"""Up to so many rows all adapters are computed at once on all rows and masked: three operations, however many adapters
there are. With more rows each adapter computes its own."""

KEPT = 8
"""Sets of adapters whose joined matrices are kept."""


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
class Joined:
    """Some adapters side by side: down `[inputs, ranks]`, up `[ranks, outputs]`."""

    ranks: tuple[tuple[int, int], ...]
    down: Tensor
    up: Tensor


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
        self._updates: dict[int, Joined] = {}
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
        own = [(*self._places[name], update) for name, update in updates.items() if name in self._places]
        self._joined.clear()
        if not own:
            return
        down = torch.cat([update.down for *_, update in own]).t().contiguous()
        up = down.new_zeros(down.shape[1], self.outputs)
        row = 0
        for part, start, end, update in own:
            rank = update.down.shape[0]
            up[row : row + rank, start:end] = part.outputs(update.up).t()
            row += rank
        self._updates[number] = Joined(((number, row),), down, up)

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
        if joined is not None:
            narrow = torch.mm(hidden, joined.down)
            if routing.everywhere is None:
                narrow.mul_(routing.mask(joined.ranks, narrow.dtype))
            output.addmm_(narrow, joined.up, alpha=scale)

    def _adapt_by_rows(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        for number, rows in routing.adapters:
            update = self._updates.get(number)
            if update is None:
                continue
            narrow = torch.mm(hidden[rows], update.down)
            if isinstance(rows, slice):
                output[rows].addmm_(narrow, update.up, alpha=scale)
            else:
                output.index_add_(0, rows, torch.mm(narrow, update.up), alpha=scale)

    def _join(self, numbers: tuple[int, ...]) -> Joined | None:
        if numbers not in self._joined:
            if len(self._joined) == KEPT:
                del self._joined[next(iter(self._joined))]
            self._joined[numbers] = self._side_by_side(numbers)
        return self._joined[numbers]

    def _side_by_side(self, numbers: tuple[int, ...]) -> Joined | None:
        own = [self._updates[number] for number in numbers if number in self._updates]
        if len(own) < 2:
            return own[0] if own else None
        ranks = tuple(rank for update in own for rank in update.ranks)
        down = torch.cat([update.down for update in own], dim=1)
        return Joined(ranks, down, torch.cat([update.up for update in own]))


class Head:
    """Hidden states to logits. `weight` is `[vocabulary, hidden]`, often the embedding's own."""

    def __init__(self, linear: nn.Linear, vocabulary: int, divisor: float) -> None:
        self.weight = linear.weight.detach()[:vocabulary]
        self.bias = None if linear.bias is None else linear.bias.detach()[:vocabulary]
        self.divisor = divisor
        self._packed: Tensor | None = _packed(self.weight)

    def __call__(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        # Few rows, but more than two: packed, the weight is read once and not for every four rows again.
        if self._packed is not None and 2 < len(rows) <= 32:
            logits: Tensor = torch.ops.mkl._mkl_linear(rows, self._packed, self.weight, self.bias, len(rows))
        else:
            logits = F.linear(rows, self.weight, self.bias)
        logits = logits.float()
        return logits if self.divisor == 1.0 else logits / self.divisor


def _packed(weight: Tensor) -> Tensor | None:
    """MKL's own layout of a large float32 matrix, a second copy of it; None where that is not to be had."""
    if weight.dtype != torch.float32 or weight.numel() < 1 << 20 or not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return None
    try:
        packed: Tensor = torch.ops.mkl._mkl_reorder_linear_weight(weight.contiguous(), 8)
    except (AttributeError, NotImplementedError, RuntimeError):  # a build of torch without it
        return None
    return packed

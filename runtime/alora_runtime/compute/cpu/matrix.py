"""A layer's weights as what multiplies rows."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

FEW = range(2, 41)
"""Rows for which oneDNN's layout is worth making. For one row it is slower. For more than these it takes 10 to 30 %
less time where it is there already, and making it costs more than one prompt gains."""


def packed(weight: Tensor) -> Tensor | None:
    """oneDNN's own layout of `[outputs, inputs]` in float32, a second copy of it; None where that is not to be had."""
    if weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    try:
        copy: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, 16)
    except (AttributeError, NotImplementedError, RuntimeError):  # a build of torch without it
        return None
    return copy


def times_packed(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[rows, inputs]` → `[rows, outputs]`, by a weight as `packed` gives it."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, weight, bias, "none", [], "")
    return product


class Dense:
    """Stored as `[inputs, outputs]`: laid out the usual way, MKL reads all of it again for every four rows."""

    def __init__(self, weight: Tensor) -> None:
        """weight: `[outputs, inputs]`."""
        self.weight = weight.t().contiguous()

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        return torch.mm(hidden, self.weight)

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        return torch.addmm(residual, hidden, self.weight, alpha=scale)


class Twice(Dense):
    """Stored in oneDNN's layout as well, which two rows and more take 10 to 40 % less time with.

    That copy is made when a few rows come: a model is opened sooner, and what writes one answer never needs it. Each
    matrix lets others go first: to copy all weights takes as long as several steps, and one step must not bear it.
    """

    def __init__(self, weight: Tensor, others: int = 0) -> None:
        """others: how many times a few rows come before the copy is made."""
        super().__init__(weight)
        self._others = others

    @cached_property
    def packed(self) -> Tensor | None:
        """The second layout, if there is one."""
        return packed(self.weight.t())

    def _layout(self, rows: int) -> Tensor | None:
        """The second layout, where so many rows should go through it."""
        if "packed" not in vars(self):
            if rows not in FEW:
                return None
            self._others -= 1
            if self._others >= 0:
                return None
        return self.packed if rows > 1 else None

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        layout = self._layout(len(hidden))
        return super().times(hidden) if layout is None else times_packed(hidden, layout)

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        layout = self._layout(len(hidden))
        if layout is None:
            return super().plus_times(residual, hidden, scale)
        return torch.add(residual, times_packed(hidden, layout), alpha=scale)

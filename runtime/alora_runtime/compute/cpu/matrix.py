"""A layer's weights as what multiplies rows."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

FEW = range(2, 41)
"""Rows that oneDNN's layout is faster for; for one row both wait for memory, for many MKL is as fast."""


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
    """Stored in oneDNN's layout as well, which a few rows take 10 to 40 % less time with, from 2 to 40 of them.

    That copy is made when such rows first come: a model is opened sooner, and what writes one answer never needs it.
    """

    @cached_property
    def packed(self) -> Tensor | None:
        """The second layout, if there is one."""
        return packed(self.weight.t())

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        if len(hidden) not in FEW or self.packed is None:
            return super().times(hidden)
        return times_packed(hidden, self.packed)

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        if len(hidden) not in FEW or self.packed is None:
            return super().plus_times(residual, hidden, scale)
        return torch.add(residual, times_packed(hidden, self.packed), alpha=scale)

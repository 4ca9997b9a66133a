"""A layer's weights as what multiplies rows: exact, or in eight bits."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


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


class Int8:
    """Eight bits an element with a scale per output, and one per row as they come: one for a whole batch would let a
    row of large numbers round the others to nothing. So answers are about one percent off, and by which part of that
    depends a little on what else is in the batch."""

    def __init__(self, weight: Tensor) -> None:
        """weight: `[outputs, inputs]`, float32."""
        scales = weight.abs().amax(1).clamp_min(1e-12).double() / 127
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these operations will move to another package some day
            quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, None)

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        size = hidden.abs().amax(1, keepdim=True).clamp_min_(1e-30)
        # A row that is not finite is multiplied as zeros, and is not finite again by its size.
        rows = (hidden / size).nan_to_num_(0.0, 0.0, 0.0)
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self._packed, False)
        return product.mul_(size)

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        return torch.add(residual, self.times(hidden), alpha=scale)

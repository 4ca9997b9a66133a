"""Linear layers that read the same input as one matrix, with low-rank updates on the rows that carry an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alora_runtime.adapters.routing import Routing
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute.attention import capped
from alora_runtime.compute.processor import Processor, Update


@dataclass(frozen=True)
class Part:
    """One Linear of a projection. order: `[outputs]`, the order that its outputs are wanted in; None: as they are."""

    name: str
    linear: nn.Linear
    order: Tensor | None = None

    def outputs(self, tensor: Tensor) -> Tensor:
        """`[outputs, …]` in the order wanted."""
        return tensor if self.order is None else tensor[self.order]


class Projection:
    """`[rows, inputs]` → `[rows, outputs]`, the outputs of all parts side by side."""

    def __init__(self, processor: Processor, *parts: Part) -> None:
        weight = torch.cat([part.outputs(part.linear.weight.detach()) for part in parts])
        self._processor, self.dtype = processor, weight.dtype
        self.matrix = processor.matrix(weight)
        self.adapters = processor.adapters(len(weight))
        self.bias = self._biases(parts)
        self._places = {}
        start = 0
        for part in parts:
            end = start + part.linear.weight.shape[0]
            self._places[part.name] = (part, start, end)
            start = end

    def _biases(self, parts: Sequence[Part]) -> Tensor | None:
        if all(part.linear.bias is None for part in parts):
            return None
        zeros = [torch.zeros(part.linear.weight.shape[0], dtype=self.dtype) for part in parts]
        biases = [
            zero if part.linear.bias is None else part.linear.bias for part, zero in zip(parts, zeros, strict=True)
        ]
        joined = torch.cat([part.outputs(bias.detach()) for part, bias in zip(parts, biases, strict=True)])
        return joined.to(self._processor.device)

    def put(self, number: int, updates: Mapping[str, LowRank]) -> None:
        """Take an adapter's updates of the own parts, if there are any."""
        device, own = self._processor.device, []
        for name, update in updates.items():
            if name in self._places:
                part, start, end = self._places[name]
                up = part.outputs(update.up).t().contiguous().to(device)
                own.append(Update(slice(start, end), update.down.t().contiguous().to(device), up))
        if own:
            self.adapters.put(number, own)

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        self.adapters.drop(number)

    def __call__(self, hidden: Tensor, routing: Routing) -> Tensor:
        """Base and updates."""
        return self._finish(self.matrix.times(hidden), hidden, routing, 1.0)

    def add_to(self, residual: Tensor, hidden: Tensor, routing: Routing, scale: float) -> Tensor:
        """`residual + scale * self(hidden)`."""
        return self._finish(self.matrix.plus_times(residual, hidden, scale), hidden, routing, scale)

    def _finish(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> Tensor:
        if self.bias is not None:
            output.add_(self.bias, alpha=scale)
        if routing.adapters:
            self.adapters.add_to(output, hidden, routing, scale)
        return output


class Head:
    """Hidden states to logits. `weight` is `[vocabulary, hidden]`, often the embedding's own. `divisor`, `cap`: as in
    Traits."""

    def __init__(
        self, processor: Processor, weight: Tensor, bias: Tensor | None, divisor: float, cap: float | None = None
    ) -> None:
        self._times = processor.output_matrix(weight, bias)
        self.divisor, self.cap = divisor, cap

    def __call__(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        logits = self._times(rows).float()
        if self.divisor != 1.0:
            logits = logits / self.divisor
        return logits if self.cap is None else capped(logits, self.cap)

"""Ordinary torch operations, on any device: short rather than fast. Nothing here knows a processor's habits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from alora_runtime.adapters.routing import Routing
from alora_runtime.compute.attention import Scoring, Store, read, reference
from alora_runtime.compute.batch import Batcher
from alora_runtime.compute.clusters import Cluster
from alora_runtime.compute.processor import Update


class Weight:
    """A matrix as it is stored."""

    def __init__(self, weight: Tensor) -> None:
        """weight: `[outputs, inputs]`."""
        self.weight = weight

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        return F.linear(hidden, self.weight)

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        return residual + scale * self.times(hidden)


class AdaptersByRows:
    """Each adapter of a batch computes its own rows."""

    def __init__(self) -> None:
        self._updates: dict[int, list[Update]] = {}

    def put(self, number: int, updates: list[Update]) -> None:
        """Take an adapter's updates."""
        self._updates[number] = updates

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        self._updates.pop(number, None)

    def add_to(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        """Onto `[rows, outputs]`, of `[rows, inputs]`."""
        for number, rows in routing.adapters:
            for update in self._updates.get(number, ()):
                output[rows, update.columns] += hidden[rows] @ update.down @ update.up * scale


class Plain:
    """Any device that torch has."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def batcher(self, arena: Tensor, width: int, window: int | None = None) -> Batcher:
        return Batcher(arena, width, window, in_place=False)

    def matrix(self, weight: Tensor) -> Weight:
        return Weight(weight.to(self.device))

    def output_matrix(self, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        return partial(F.linear, weight=weight.to(self.device), bias=None if bias is None else bias.to(self.device))

    def adapters(self, outputs: int) -> AdaptersByRows:
        return AdaptersByRows()

    def attend(self, query: Tensor, store: Store, clusters: Sequence[Cluster], scoring: Scoring) -> Tensor:
        parts = [part for whole in clusters for part in whole.by_row()]
        outputs = [_attended(query[part.first : part.last], store, part, scoring) for part in parts]
        return torch.cat(outputs).reshape(len(query), -1)

    def threads(self, multiplications: int) -> AbstractContextManager[None]:
        return nullcontext()


def _attended(query: Tensor, store: Store, cluster: Cluster, scoring: Scoring) -> Tensor:
    """`[rows, heads, dim]` → the same."""
    keys, values = read(store.slots, cluster)
    query = query.transpose(0, 1)[None]
    if scoring.cap is not None or scoring.sinks is not None:  # which torch's function does not know
        return reference(query, keys, values, cluster, scoring)[0].transpose(0, 1)
    mask = cluster.whole_mask(keys.shape[2], query.dtype, query.device)
    output = F.scaled_dot_product_attention(query, keys, values, mask, scale=scoring.scale, enable_gqa=True)
    return output[0].transpose(0, 1)

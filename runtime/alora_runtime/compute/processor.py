"""What a forward pass needs of the hardware: one protocol, so that the decoder does not know what it runs on.

A further one is a file with a class and a line in `model.PROCESSORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from alora_runtime.adapters.routing import Routing
from alora_runtime.compute.attention import Scoring, Store
from alora_runtime.compute.batch import Batcher
from alora_runtime.compute.clusters import Cluster


@dataclass(frozen=True)
class Update:
    """One adapter at one part of a projection: down `[inputs, rank]`, up `[rank, outputs of the part]`, and which
    outputs those are."""

    columns: slice
    down: Tensor
    up: Tensor


class Matrix(Protocol):
    """A layer's weights as what multiplies rows."""

    def times(self, hidden: Tensor) -> Tensor:
        """`[rows, inputs]` → `[rows, outputs]`."""
        ...

    def plus_times(self, residual: Tensor, hidden: Tensor, scale: float) -> Tensor:
        """`residual + scale * times(hidden)`."""
        ...


class Adapters(Protocol):
    """The low-rank updates of one projection, by the adapters' numbers."""

    def put(self, number: int, updates: list[Update]) -> None:
        """Take an adapter's updates."""
        ...

    def drop(self, number: int) -> None:
        """Forget an adapter; one that is not there is left."""
        ...

    def add_to(self, output: Tensor, hidden: Tensor, routing: Routing, scale: float) -> None:
        """Onto `[rows, outputs]`, of `[rows, inputs]`: each row its own adapter's."""
        ...


class Processor(Protocol):
    """Where a model's tensors are, and how they are multiplied."""

    @property
    def device(self) -> torch.device: ...

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An arena of zeros."""
        ...

    def batcher(self, arena: Tensor, width: int, window: int | None = None) -> Batcher:
        """Makes steps into tensors; `width`: numbers in all of a query's heads; `window`: of layers that have one."""
        ...

    def matrix(self, weight: Tensor) -> Matrix:
        """Of weights `[outputs, inputs]`."""
        ...

    def output_matrix(self, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        """Of weights `[vocabulary, hidden]`: `[n, hidden]` → `[n, vocabulary]`."""
        ...

    def adapters(self, outputs: int) -> Adapters:
        """Of a projection with so many outputs."""
        ...

    def attend(self, query: Tensor, store: Store, clusters: Sequence[Cluster], scoring: Scoring) -> Tensor:
        """query `[rows, heads, dim]` → `[rows, heads * dim]`."""
        ...

    def threads(self, multiplications: int) -> AbstractContextManager[None]:
        """Around work of so many multiplications."""
        ...

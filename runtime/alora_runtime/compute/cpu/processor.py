"""Everything that makes a processor fast, behind the protocol."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor

from alora_runtime.compute.attention import Scoring, Store
from alora_runtime.compute.batch import Batcher
from alora_runtime.compute.clusters import Cluster
from alora_runtime.compute.cpu.adapters import FEW, JoinedAdapters
from alora_runtime.compute.cpu.attention import attend
from alora_runtime.compute.cpu.matrix import Dense, Twice, packed, times_packed
from alora_runtime.compute.cpu.threads import threads_for

TWICE = range(16_000_000, 400_000_000)
"""Parameters with which the layers' weights are kept in two layouts, one for one row and for many, one for a few. Those
of smaller models stay in the caches, where either is fast; larger ones would take more than another 1.6 GB."""

AT_ONCE = 8
"""Of so many matrices, about a layer's or two, the second layout is made in one step."""

LARGE = 1 << 20
"""From so many elements on the output matrix is kept in oneDNN's layout, too: three rows and more take half the time or
less, because the usual one is read again for every four rows. One and two rows read it as `[inputs, outputs]`, in half
the time that the usual way round takes."""


class Cpu:
    """For a model of so many parameters."""

    def __init__(self, parameters: int) -> None:
        self.device = torch.device("cpu")
        self._twice = parameters in TWICE
        self._matrices = 0

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """They take no memory until they are written, and then by small pages: of large ones an arena would take one
        or two for every head of every layer, and reading it is no faster. Torch would write all of them at once."""
        size = math.prod(shape) * dtype.itemsize
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        else:
            memory = mmap.mmap(-1, size)
        return torch.frombuffer(memory, dtype=dtype).view(shape)

    def batcher(self, arena: Tensor, width: int, window: int | None = None) -> Batcher:
        return Batcher(arena, width, window)

    def matrix(self, weight: Tensor) -> Dense:
        if not self._twice:
            return Dense(weight)
        self._matrices += 1
        return Twice(weight, others=(self._matrices - 1) // AT_ONCE)

    def output_matrix(self, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        turned = weight.t().contiguous() if weight.dtype == torch.float32 else weight.t()
        few = range(3, FEW + 1) if weight.numel() >= LARGE else ()
        layout = cache(lambda: packed(turned.t()))  # made when it is needed, as the layers' are

        def times(rows: Tensor) -> Tensor:
            if len(rows) in few and (made := layout()) is not None:
                return times_packed(rows, made, bias)
            return torch.mm(rows, turned) if bias is None else torch.addmm(bias, rows, turned)

        return times

    def adapters(self, outputs: int) -> JoinedAdapters:
        return JoinedAdapters(outputs)

    def attend(self, query: Tensor, store: Store, clusters: Sequence[Cluster], scoring: Scoring) -> Tensor:
        return attend(query, store, clusters, scoring)

    def threads(self, multiplications: int) -> AbstractContextManager[None]:
        return threads_for(multiplications)

"""What stands before the invocation, as keys and values: read once by the engine, kept for every epoch.

Nothing before the invocation of an activated LoRA has a gradient, and its keys and values never change. Contexts that
begin alike share what they begin with, here as in the engine's cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from threading import local
from typing import IO

import numpy as np
import torch
from torch import Tensor

from alora_flow.errors import RunFailed
from alora_runtime import Engine, Request, Run
from alora_runtime.cache.node import common

AT_ONCE = 8192
"""Tokens that are given to the engine together."""

MEMORY = 4 << 30
"""Bytes of keys and values that are kept in memory; more of them lie in a file."""

Progress = Callable[[int, int], None]
"""Told of how many tokens how many are read."""


@dataclass(frozen=True)
class Past:
    """Contexts of a batch, padded on the right. kv: `[layers, 2, kv_heads, rows, length, dim]`; lengths: `[rows]`."""

    kv: Tensor
    lengths: Tensor

    @property
    def seen(self) -> Tensor:
        """Which places are contexts and not padding, `[rows, length]`."""
        return torch.arange(self.kv.shape[4]) < self.lengths[:, None]


class Contexts:
    """Keys and values of many sequences. Each is a row of places in one table of tokens, `[layers, 2, kv_heads, tokens,
    dim]` in bfloat16, whose first token is padding."""

    def __init__(self, table: Tensor, places: Sequence[Tensor]) -> None:
        self.table = table
        self.places = places
        self._room = local()

    @property
    def tokens(self) -> int:
        """Tokens that are kept, each once."""
        return self.table.shape[3] - 1

    def of(self, rows: Sequence[int]) -> Past:
        """The contexts of some sequences, by their numbers. They hold until the same thread calls it again: memory that
        is new for each batch takes longer to get than to fill."""
        lengths = torch.tensor([len(self.places[row]) for row in rows])
        places = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for line, row in zip(places, rows, strict=True):
            line[: len(self.places[row])] = self.places[row]
        layers, two, heads, _, dim = self.table.shape
        shape = (layers, two, heads, *places.shape, dim)
        room = getattr(self._room, "kv", self.table.new_empty(0))
        if room.numel() < prod(shape):
            room = self._room.kv = self.table.new_empty(prod(shape))
        kv = room[: prod(shape)].view(shape)
        for plane, out in zip(self.table.flatten(0, 2), kv.flatten(3, 4).flatten(0, 2), strict=True):
            torch.index_select(plane, 0, places.view(-1), out=out)
        return Past(kv, lengths)


def read_contexts(
    engine: Engine,
    sequences: Sequence[Sequence[int]],
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Contexts:
    """Compute the keys and values of sequences by the engine's base model, without an adapter, each shared token once.

    memory: bytes that may be kept in memory; where they need more, in a file in `folder` that goes with the process.
    Raises RunFailed where the disk is full, and what the engine raises for a sequence that it can't take.
    """
    order = sorted(range(len(sequences)), key=lambda row: tuple(sequences[row]))
    shared = [0, *(common(tuple(sequences[one]), tuple(sequences[next]), 0) for one, next in pairwise(order))]
    new = [len(sequences[row]) - begun for row, begun in zip(order, shared, strict=True)]
    network = engine.model.network
    table = _table((len(network.layers), 2, network.kv_heads, 1 + sum(new), network.dim), memory, folder)
    table[:, :, :, 0] = 0
    places: list[Tensor] = [torch.empty(0, dtype=torch.long)] * len(sequences)
    end = 1
    before = places[0]
    for first, last in _portions(new):
        requests = [Request([Run(sequences[row])], max_tokens=1, ignore_eos=True) for row in order[first:last]]
        engine.generate(requests)
        for index, request in zip(range(first, last), requests, strict=True):
            begun, count = shared[index], new[index]
            if count:
                table[:, :, :, end : end + count] = engine.kv(request.runs, begun).permute(0, 2, 3, 1, 4)
            before = torch.cat([before[:begun], torch.arange(end, end + count)])
            places[order[index]] = before
            end += count
        progress(end - 1, sum(new))
    return Contexts(table, places)


def _portions(new: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours with about so many new tokens together."""
    bounds, size = [0], 0
    for index, count in enumerate(new):
        if size and size + count > AT_ONCE:
            bounds.append(index)
            size = 0
        size += count
    return list(zip(bounds, [*bounds[1:], len(new)], strict=True))


def _table(shape: tuple[int, ...], memory: int, folder: Path | None) -> Tensor:
    """Room for bfloat16 numbers of this shape."""
    size = 2 * prod(shape)
    if size <= memory:
        return torch.empty(shape, dtype=torch.bfloat16)
    try:
        with TemporaryFile(dir=folder) as file:
            return _mapped(file, size).view(torch.bfloat16).view(shape)
    except OSError as error:
        raise RunFailed(
            f"the contexts take {size / 1e9:.1f} GB, and {folder or 'the temporary folder'} has no room: {error}",
            "give fewer rows, a smaller `longest`, or a --library on a larger disk",
        ) from error


def _mapped(file: IO[bytes], size: int) -> Tensor:
    """The file's bytes as memory. All of them are reserved, so that a full disk is told of now."""
    os.posix_fallocate(file.fileno(), 0, size)
    return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=(size,)))

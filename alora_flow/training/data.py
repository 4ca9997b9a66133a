"""Rows of token ids: what is read, what is learnt, and batches of rows of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """A thread that the base reads, and what follows under the adapter: its invocation, then the answer to learn."""

    thread: tuple[int, ...]
    invocation: tuple[int, ...]
    answer: tuple[int, ...]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids padded on the right with 0, and the rows' lengths."""
    lengths = torch.tensor([len(r) for r in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, lengths


def by_length(rows: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Indices in chunks of rows of similar length."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    return [order[k : k + size] for k in range(0, len(order), size)]

"""Which rows of a forward pass carry which adapter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Rows = slice | Tensor
"""Rows of a batch: a slice where they are neighbours, `[n]` numbers otherwise."""


class Routing:
    """The adapter of each row (0: the base), as the layers need it.

    adapters: each adapter in use with its rows, by number. everywhere: the adapter that all rows carry.
    """

    def __init__(self, labels: Sequence[int] = (), device: torch.device | None = None) -> None:
        self.labels = labels
        self.adapters = tuple(rows_by_adapter(labels, device))
        self.numbers = tuple(number for number, _ in self.adapters)
        self.everywhere = self.numbers[0] if len(self.numbers) == 1 and 0 not in labels else None
        self._masks: dict[tuple[tuple[int, int], ...], Tensor] = {}

    def others(self, ranks: tuple[tuple[int, int], ...]) -> Tensor:
        """`[rows, sum of ranks]`: whether the column's adapter, of `ranks` (number, rank), is not the row's."""
        if ranks not in self._masks:
            owners = torch.tensor([number for number, rank in ranks for _ in range(rank)])
            self._masks[ranks] = torch.tensor(self.labels)[:, None] != owners
        return self._masks[ranks]


def rows_by_adapter(labels: Sequence[int], device: torch.device | None = None) -> list[tuple[int, Rows]]:
    """The rows of each adapter but the base (0)."""
    rows: dict[int, list[int]] = {}
    if any(labels):
        for row, adapter in enumerate(labels):
            if adapter:
                rows.setdefault(adapter, []).append(row)
    return [
        (adapter, slice(own[0], own[-1] + 1) if own[-1] - own[0] + 1 == len(own) else torch.tensor(own, device=device))
        for adapter, own in sorted(rows.items())
    ]

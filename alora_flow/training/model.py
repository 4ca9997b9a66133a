"""What training needs of a model: one pass over tokens that may go on from kept keys and values."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from torch import Tensor

Cache: TypeAlias = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, `[rows, heads, length, dim]` each."""


class CausalModel(Protocol):
    """A causal language model."""

    def __call__(
        self,
        ids: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        past: Cache | None = None,
        keep: Cache | None = None,
        adapter: Any = None,
    ) -> Tensor:
        """`[rows, length]` → hidden states `[rows, length, hidden]`.

        Without `mask` attention is causal. With `past`, `mask` is `[rows, 1, length, past + length]`. Keys and values
        are appended to `keep`, past included. `adapter` changes every token given.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """`[…, hidden]` → `[…, vocabulary]`."""
        ...

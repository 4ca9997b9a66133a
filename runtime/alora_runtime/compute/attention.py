"""What attention reads and writes: one layer's part of the arena, and the plain way to attend to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alora_runtime.compute.clusters import Cluster


@dataclass(frozen=True, slots=True)
class Store:
    """One layer's part of the arena, in the shapes that it is written and read in; made once, since each view costs a
    step as much as a small operation.

    slots: `[slots, 2, kv_heads, dim]`; both: `[2, kv_heads, slots, dim]`; keys, values: `[1, kv_heads, slots, dim]`.
    """

    slots: Tensor
    both: Tensor
    keys: Tensor
    values: Tensor


def stores(arena: Tensor) -> list[Store]:
    """Of each layer of `[layers, slots, 2, kv_heads, dim]`."""
    return [Store(slots, slots.permute(1, 2, 0, 3), *sides(slots)) for slots in arena]


def picked(arena: Tensor, slots: Tensor) -> Tensor:
    """A copy of some slots of all layers: `[layers, n, 2, kv_heads, dim]`. By the dimension that they have in memory:
    else torch would copy the whole arena first."""
    return arena.permute(0, 2, 3, 1, 4).index_select(3, slots).permute(0, 3, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a layer makes weights out of queries and keys. scale: what their products are multiplied by. cap: scores x
    become cap * tanh(x / cap). sinks: `[heads]` in float32, one more score of each head, whose value is zero."""

    scale: float
    cap: float | None = None
    sinks: Tensor | None = None


def reference(query: Tensor, key: Tensor, value: Tensor, cluster: Cluster, scoring: Scoring) -> Tensor:
    """Masked softmax in float32 over prefix and rest together, written plainly; query `[1, heads, rows, dim]`,
    key and value `[1, kv_heads, slots, dim]` → shaped as query."""
    groups = query.shape[1] // key.shape[1]
    key, value = (side.float().repeat_interleave(groups, dim=1) for side in (key, value))
    scores = query.float() @ key.transpose(-1, -2) * scoring.scale
    if scoring.cap is not None:
        scores = capped(scores, scoring.cap)
    mask = cluster.whole_mask(scores.shape[-1], scores.dtype, scores.device)
    if mask is not None:
        scores += mask
    if scoring.sinks is None:
        return (scores.softmax(-1) @ value).to(query.dtype)
    sinks = scoring.sinks[:, None, None].expand(*scores.shape[1:-1], 1)[None]
    return (torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1] @ value).to(query.dtype)


def capped(scores: Tensor, cap: float) -> Tensor:
    """Between -cap and cap; about as it is far from them."""
    return torch.tanh(scores / cap) * cap


def read(arena: Tensor, cluster: Cluster) -> tuple[Tensor, Tensor]:
    """Keys and values of all slots of a cluster, its prefix first: `[1, kv_heads, slots, dim]` each."""
    parts = [arena[cluster.view] if cluster.index is None else arena[cluster.index]]
    if cluster.prefix is not None:
        parts.insert(0, arena[cluster.prefix])
    return sides(torch.cat(parts))


def sides(slots: Tensor) -> tuple[Tensor, Tensor]:
    """`[slots, 2, kv_heads, dim]` → keys and values `[1, kv_heads, slots, dim]`."""
    both = slots.permute(1, 2, 0, 3)
    return both[0:1], both[1:2]

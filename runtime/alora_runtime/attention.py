"""Attention over the arena: each cluster of rows reads its slots once, and a shared prefix in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .clusters import Cluster

OPERATION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

FEW = 32
"""Rows up to which attention is bound by reading keys and values."""


def attend(query: Tensor, arena: Tensor, clusters: Sequence[Cluster], scale: float) -> Tensor:
    """query `[rows, heads, dim]`, arena `[slots, 2, kv_heads, dim]` of one layer → `[rows, heads * dim]`."""
    queries = query.transpose(0, 1)[None]
    outputs = [_cluster(queries[:, :, part.first : part.last], arena, part, scale) for part in clusters]
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
    return output.transpose(1, 2).reshape(len(query), -1)


def _cluster(query: Tensor, arena: Tensor, cluster: Cluster, scale: float) -> Tensor:
    if cluster.stride is None:
        output, weight = flash(query, *_rest(arena, cluster), cluster.mask, cluster.causal, scale)
    else:
        output, weight = _each_its_own(query, arena, cluster, scale)
    if cluster.prefix is None:
        return output
    # Two softmaxes over parts of the slots are one over all, weighted by the sums of their exponentials.
    before, weight_before = flash(query, *_sides(arena[cluster.prefix]), None, False, scale)
    share = torch.sigmoid(weight - weight_before)[..., None].to(output.dtype)
    return torch.lerp(before, output, share)


def _each_its_own(query: Tensor, arena: Tensor, cluster: Cluster, scale: float) -> tuple[Tensor, Tensor]:
    """Rows as a batch, over slots at equal distances, in place; shapes as in `flash`."""
    assert cluster.view is not None
    assert cluster.stride is not None
    rows, slot = query.shape[2], arena.stride(0)
    slots = arena.as_strided(
        (2, rows, arena.shape[2], cluster.width, arena.shape[3]),
        (arena.stride(1), cluster.stride * slot, arena.stride(2), slot, 1),
        arena.storage_offset() + cluster.view.start * slot,
    )
    mask = None if cluster.mask is None else cluster.mask[:, None, None]
    output, weight = OPERATION(query.permute(2, 1, 0, 3), slots[0], slots[1], 0.0, False, attn_mask=mask, scale=scale)
    return output.permute(2, 1, 0, 3), weight.permute(2, 1, 0)


def flash(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """PyTorch's own CPU kernel, called directly: it takes fewer KV heads than query heads together with a mask, where
    `scaled_dot_product_attention` falls back to a ten times slower path, and it gives log-sum-exps.

    query `[1, heads, rows, dim]`, key and value `[1, kv_heads, slots, dim]`, mask `[rows, slots]` → shaped as query,
    and `[1, heads, rows]`.
    """
    heads, rows, kv_heads = query.shape[1], query.shape[2], key.shape[1]
    if mask is None and not causal and rows <= FEW and heads > kv_heads:
        # All see the same: the query heads of one KV head are further rows, and its keys are read once for them.
        grouped = query.unflatten(1, (kv_heads, -1)).flatten(2, 3)  # type: ignore[no-untyped-call]
        output, weight = OPERATION(grouped, key, value, 0.0, False, scale=scale)
        return output.unflatten(2, (-1, rows)).flatten(1, 2), weight.unflatten(2, (-1, rows)).flatten(1, 2)
    added = None if mask is None else mask[None, None]
    output, weight = OPERATION(query, key, value, 0.0, causal, attn_mask=added, scale=scale)
    return output, weight


def reference(query: Tensor, key: Tensor, value: Tensor, cluster: Cluster, scale: float) -> Tensor:
    """Masked softmax in float32 over prefix and rest together, written plainly; shapes as in `flash`."""
    groups = query.shape[1] // key.shape[1]
    key, value = (side.float().repeat_interleave(groups, dim=1) for side in (key, value))
    scores = query.float() @ key.transpose(-1, -2) * scale
    rest = scores[..., scores.shape[-1] - cluster.width :]
    if cluster.causal:
        rest += torch.full(rest.shape[-2:], -math.inf, device=scores.device).triu(1)
    elif cluster.mask is not None:
        rest += cluster.mask
    return (scores.softmax(-1) @ value).to(query.dtype)


def read(arena: Tensor, cluster: Cluster) -> tuple[Tensor, Tensor]:
    """Keys and values of all slots of a cluster, its prefix first: `[1, kv_heads, slots, dim]` each."""
    parts = [_rest(arena, cluster)]
    if cluster.prefix is not None:
        parts.insert(0, _sides(arena[cluster.prefix]))
    keys, values = zip(*parts, strict=True)
    return torch.cat(keys, dim=2), torch.cat(values, dim=2)


def _rest(arena: Tensor, cluster: Cluster) -> tuple[Tensor, Tensor]:
    """What comes after the prefix: in place where it is one extent, else gathered."""
    return _sides(arena[cluster.view] if cluster.index is None else arena.index_select(0, cluster.index))


def _sides(slots: Tensor) -> tuple[Tensor, Tensor]:
    """`[slots, 2, kv_heads, dim]` → keys and values `[1, kv_heads, slots, dim]`."""
    sides = slots.permute(1, 2, 0, 3)
    return sides[0:1], sides[1:2]

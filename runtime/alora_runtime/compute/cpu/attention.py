"""Attention on a processor: each cluster of rows reads its slots once, and a shared prefix in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from alora_runtime.compute.attention import Store, sides
from alora_runtime.compute.clusters import Cluster

OPERATION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""PyTorch's own CPU kernel, called directly: it takes fewer KV heads than query heads together with a mask, where
`scaled_dot_product_attention` falls back to a ten times slower path, and it gives log-sum-exps.

query `[1, heads, rows, dim]`, key and value `[1, kv_heads, slots, dim]`, mask `[rows, slots]` → shaped as query, but in
memory `[1, rows, heads, dim]`; and `[1, heads, rows]`."""

FEW = 32
"""Rows up to which attention is bound by reading keys and values."""


def attend(query: Tensor, store: Store, clusters: Sequence[Cluster], scale: float) -> Tensor:
    """query `[rows, heads, dim]` → `[rows, heads * dim]`."""
    outputs = [_cluster(query[part.first : part.last], store, part, scale) for part in clusters]
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output.reshape(len(query), -1)


def _cluster(query: Tensor, store: Store, cluster: Cluster, scale: float) -> Tensor:
    """`[rows, heads, dim]` → the same."""
    if cluster.stride is not None:
        output, weight = _each_its_own(query, store.slots, cluster, scale)
    else:
        if cluster.index is None:
            keys, values = store.keys[:, :, cluster.view], store.values[:, :, cluster.view]
        else:
            keys, values = sides(store.slots.index_select(0, cluster.index))
        output, weight = flash(query, keys, values, cluster.mask, cluster.causal, scale)
    if cluster.prefix is None:
        return output
    # Two softmaxes over parts of the slots are one over all, weighted by the sums of their exponentials.
    keys, values = store.keys[:, :, cluster.prefix], store.values[:, :, cluster.prefix]
    before, weight_before = flash(query, keys, values, None, False, scale)
    share = torch.sigmoid(weight - weight_before)[..., None].to(output.dtype)
    return torch.lerp(before, output, share)


def _each_its_own(query: Tensor, slots: Tensor, cluster: Cluster, scale: float) -> tuple[Tensor, Tensor]:
    """Rows as a batch, over slots at equal distances, in place; shapes as in `flash`."""
    assert cluster.view is not None
    assert cluster.stride is not None
    distance = slots.stride(0)
    both = slots.as_strided(
        (2, len(query), slots.shape[2], cluster.width, slots.shape[3]),
        (slots.stride(1), cluster.stride * distance, slots.stride(2), distance, 1),
        slots.storage_offset() + cluster.view.start * distance,
    )
    mask = None if cluster.mask is None else cluster.mask[:, None, None]
    output, weight = OPERATION(query[:, :, None], both[0], both[1], 0.0, False, attn_mask=mask, scale=scale)
    return output[:, :, 0], weight[:, :, 0]


def flash(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """query `[rows, heads, dim]`, key and value `[1, kv_heads, slots, dim]`, mask `[rows, slots]` → shaped as query,
    and log-sum-exps `[rows, heads]`."""
    rows, heads, dim = query.shape
    kv_heads = key.shape[1]
    if mask is None and not causal and rows <= FEW and heads > kv_heads:
        # All see the same: the query heads of one KV head are further rows, and its keys are read once for them.
        grouped = query.view(rows, kv_heads, -1, dim)
        if rows == 1:
            output, weight = OPERATION(grouped, key, value, 0.0, False, scale=scale)
            return output.reshape(1, heads, dim), weight.reshape(1, heads)
        packed = grouped.transpose(0, 1).reshape(1, kv_heads, -1, dim)
        output, weight = OPERATION(packed, key, value, 0.0, False, scale=scale)
        output = output.view(kv_heads, rows, -1, dim).transpose(0, 1).reshape(rows, heads, dim)
        return output, weight.view(kv_heads, rows, -1).transpose(0, 1).reshape(rows, heads)
    added = None if mask is None else mask[None, None]
    output, weight = OPERATION(query.transpose(0, 1)[None], key, value, 0.0, causal, attn_mask=added, scale=scale)
    return output[0].transpose(0, 1), weight[0].t()

"""Attention on a processor: each cluster of rows reads its slots once, and a shared prefix in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from alora_runtime.compute.attention import Scoring, Store, capped, read
from alora_runtime.compute.clusters import Cluster

OPERATION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""PyTorch's own CPU kernel, called directly: it takes fewer KV heads than query heads together with a mask, where
`scaled_dot_product_attention` falls back to a ten times slower path, and it gives log-sum-exps.

query `[1, heads, rows, dim]`, key and value `[1, kv_heads, slots, dim]`, mask `[rows, slots]` → shaped as query, but in
memory `[1, rows, heads, dim]`; and `[1, heads, rows]`."""

BLOCK = 256
"""Rows whose capped scores are computed together."""

FEW = 32
"""Rows up to which attention is bound by reading keys and values."""


def attend(query: Tensor, store: Store, clusters: Sequence[Cluster], scoring: Scoring) -> Tensor:
    """query `[rows, heads, dim]` → `[rows, heads * dim]`."""
    if scoring.cap is not None:
        clusters = [part for whole in clusters for part in whole.by_row()]
        outputs = [_capped(query[part.first : part.last], store, part, scoring) for part in clusters]
    else:
        outputs = [_cluster(query[part.first : part.last], store, part, scoring) for part in clusters]
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output.reshape(len(query), -1)


def _cluster(query: Tensor, store: Store, cluster: Cluster, scoring: Scoring) -> Tensor:
    """`[rows, heads, dim]` → the same."""
    scale = scoring.scale
    if cluster.stride is not None:
        output, weight = _each_its_own(query, store.slots, cluster, scale)
    else:
        if cluster.index is None:
            keys, values = store.keys[:, :, cluster.view], store.values[:, :, cluster.view]
        else:
            both = store.both.index_select(2, cluster.index)
            keys, values = both[:1], both[1:]
        output, weight = flash(query, keys, values, cluster.mask, cluster.causal, scale)
    if cluster.prefix is not None:
        # Two softmaxes over parts of the slots are one over all, weighted by the sums of their exponentials.
        keys, values = store.keys[:, :, cluster.prefix], store.values[:, :, cluster.prefix]
        before, weight_before = flash(query, keys, values, None, False, scale)
        share = torch.sigmoid(weight - weight_before)[..., None].to(output.dtype)
        output = torch.lerp(before, output, share)
        weight = torch.logaddexp(weight, weight_before) if scoring.sinks is not None else weight
    if scoring.sinks is None:
        return output
    # A sink is a part with one score, whose value is zero.
    return output * torch.sigmoid(weight - scoring.sinks)[..., None].to(output.dtype)


def _capped(query: Tensor, store: Store, cluster: Cluster, scoring: Scoring) -> Tensor:
    """`[rows, heads, dim]` → the same, where scores are capped, which the kernel can't. All scores of a block of rows
    are in memory, in float32."""
    assert scoring.cap is not None
    assert scoring.sinks is None, "no architecture has both"
    keys, values = (side[0].float() for side in read(store.slots, cluster))
    mask = cluster.whole_mask(keys.shape[1], torch.float32, keys.device)
    rows, heads, dim = query.shape
    # The query heads of one KV head are further rows: `[kv_heads, heads / kv_heads * rows, dim]`.
    packed = query.float().view(rows, len(keys), -1, dim).permute(1, 2, 0, 3) * scoring.scale
    outputs = []
    for first in range(0, rows, BLOCK):
        part = packed[:, :, first : first + BLOCK]
        scores = capped(part.flatten(1, 2) @ keys.transpose(1, 2), scoring.cap).view(*part.shape[:3], -1)
        if mask is not None:
            scores += mask[first : first + BLOCK]
        outputs.append((scores.softmax(-1).flatten(1, 2) @ values).view(part.shape))
    return torch.cat(outputs, dim=2).permute(2, 0, 1, 3).reshape(rows, heads, dim).to(query.dtype)


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

"""Attention over the arena, as functions that transformers calls from inside its own attention layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from .batch import Batch, Cluster

Kernel = Callable[[Tensor, Tensor, Tensor, Cluster, float], Tensor]
"""(query `[1, heads, rows, dim]`, key and value `[1, kv_heads, slots, dim]`, cluster, scale) → shaped as query."""


def reference(query: Tensor, key: Tensor, value: Tensor, cluster: Cluster, scale: float) -> Tensor:
    """Masked softmax in float32, written plainly: the oracle for every other kernel, and the fallback."""
    groups = query.shape[1] // key.shape[1]
    key, value = (side.float().repeat_interleave(groups, dim=1) for side in (key, value))
    scores = query.float() @ key.transpose(-1, -2) * scale
    if cluster.causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf, device=scores.device).triu(1)
    elif cluster.mask is not None:
        scores = scores + cluster.mask
    return (scores.softmax(-1) @ value).to(query.dtype)


def flash_cpu(query: Tensor, key: Tensor, value: Tensor, cluster: Cluster, scale: float) -> Tensor:
    """PyTorch's own CPU kernel, called directly: it takes fewer KV heads than query heads together with a mask, where
    `scaled_dot_product_attention` falls back to a ten times slower path."""
    mask = None if cluster.mask is None else cluster.mask[None, None]
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output: Tensor = flash(query, key, value, 0.0, cluster.causal, attn_mask=mask, scale=scale)[0]
    return output


def _over_arena(kernel: Kernel) -> Callable[..., tuple[Tensor, None]]:
    def attention(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float,
        batch: Batch,
        **_: object,
    ) -> tuple[Tensor, None]:
        """Write this layer's K and V, then attend. query `[1, heads, rows, dim]` → `[1, rows, heads, dim]`.

        All rows are written before any is read: pieces of one step may see each other's tokens.
        """
        keys, values = batch.arena[module.layer_idx]
        keys.index_copy_(0, batch.slots, key[0].transpose(0, 1))
        values.index_copy_(0, batch.slots, value[0].transpose(0, 1))
        outputs = [
            kernel(query[:, :, part.first : part.last], _read(keys, part), _read(values, part), part, scaling)
            for part in batch.clusters
        ]
        output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
        return output.transpose(1, 2), None

    return attention


def _read(side: Tensor, cluster: Cluster) -> Tensor:
    """`[slots, kv_heads, dim]` of the arena → `[1, kv_heads, cluster slots, dim]`, in place where it is one extent."""
    rows = side[cluster.view] if cluster.index is None else side.index_select(0, cluster.index)
    return rows.transpose(0, 1)[None]


KERNELS: dict[str, Kernel] = {"fast": flash_cpu, "reference": reference}


def register() -> None:
    """Make the kernels known to transformers, as `alora_fast` and so on (a name with "flash" in it makes
    transformers look for a flash attention package). They are unknown to its mask functions,
    so that no mask is built; once is enough, twice does no harm."""
    for name, kernel in KERNELS.items():
        AttentionInterface.register(f"alora_{name}", _over_arena(kernel))

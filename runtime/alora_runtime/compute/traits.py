"""What a model computes beside Llama's plain layers, as transformers' modules and configuration say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Traits:
    """heads, kv_heads, dim: heads of queries, heads of keys and values, numbers of a head.

    windows: for each layer, over how many tokens one looks, itself included; None: over all before it.
    score_cap, logit_cap: attention scores and logits x become cap * tanh(x / cap); None: they stay as they are.
    embedding_scale: what embeddings are multiplied by. residual: what a block's output is multiplied by before it is
    added. divisor: what logits are divided by.
    """

    heads: int
    kv_heads: int
    dim: int
    windows: tuple[int | None, ...]
    score_cap: float | None
    logit_cap: float | None
    embedding_scale: float
    residual: float
    divisor: float

    @property
    def window(self) -> int | None:
        """That of all layers that have one."""
        windows = {window for window in self.windows if window is not None}
        assert len(windows) <= 1, "no configuration of transformers names two"
        return windows.pop() if windows else None


def traits_of(model: Any) -> Traits:
    """Of a model of transformers, or of an outline."""
    config = model.config
    attentions = [layer.self_attn for layer in model.model.layers]
    everywhere = getattr(config, "sliding_window", None)  # where attention names no window of its own
    scale = getattr(config, "embedding_multiplier", 1.0)
    if hasattr(model.model.embed_tokens, "scalar_embed_scale"):  # rounded as transformers rounds it
        scale = torch.tensor(model.model.embed_tokens.scalar_embed_scale).to(model.dtype)
    return Traits(
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        windows=tuple(getattr(attention, "sliding_window", everywhere) for attention in attentions),
        # Gemma 3's attention names one, too, and does not apply it.
        score_cap=config.attn_logit_softcapping if getattr(config, "model_type", "") == "gemma2" else None,
        logit_cap=getattr(config, "final_logit_softcapping", None),
        embedding_scale=float(scale),
        residual=float(getattr(config, "residual_multiplier", 1.0)),
        divisor=float(getattr(config, "logits_scaling", 1.0)),
    )

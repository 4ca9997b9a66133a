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


EVERYWHERE = ("mistral", "phi3")
"""Whose layers all have the window of the configuration; others name one themselves, or have none."""

CAPPED = {"attn_logit_softcapping": ("gemma2",), "final_logit_softcapping": ("gemma2", "gemma3_text")}
"""Who applies a field that others carry along, too."""


def traits_of(model: Any) -> Traits:
    """Of a model of transformers, or of an outline."""
    config, kind = model.config, getattr(model.config, "model_type", None)
    everywhere = getattr(config, "sliding_window", None) if kind in EVERYWHERE else None
    scale = config.embedding_multiplier if kind == "granite" else 1.0
    if hasattr(model.model.embed_tokens, "scalar_embed_scale"):  # rounded as transformers rounds it
        scale = torch.tensor(model.model.embed_tokens.scalar_embed_scale).to(model.dtype)
    caps = {field: getattr(config, field) if kind in kinds else None for field, kinds in CAPPED.items()}
    return Traits(
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        windows=tuple(getattr(layer.self_attn, "sliding_window", everywhere) for layer in model.model.layers),
        score_cap=caps["attn_logit_softcapping"],
        logit_cap=caps["final_logit_softcapping"],
        embedding_scale=float(scale),
        residual=float(config.residual_multiplier) if kind == "granite" else 1.0,
        divisor=float(config.logits_scaling) if kind == "granite" else 1.0,
    )

"""The modules of the usual models, by the names that transformers gives them, without importing transformers.

To import one modelling class of transformers takes twice as long as to import torch. The decoder takes weights and a
few numbers out of a model, no code: where a configuration says all of these itself, the modules are made here. What
else there is (another rope, another activation, a field left to its default) is left to transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

REQUIRED = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "rms_norm_eps", "tie_word_embeddings", "hidden_act"),
)
"""Fields that have no default here: those of transformers differ from one architecture to the next."""

MULTIPLIERS = ("attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier")

FURTHER: Mapping[str, tuple[str, ...]] = {
    "llama": (),
    "granite": MULTIPLIERS,
    "mistral": (),
    "qwen2": (),
    "qwen3": ("head_dim",),
}
"""model_type → the fields that it has to say beside those."""

ROPES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
"""Kinds of rotation → the numbers that each has beside its base."""


@dataclass(frozen=True)
class Rope:
    """A rotation of whole heads. theta: its base. kind: one of ROPES, with its numbers."""

    theta: float
    kind: str
    numbers: tuple[float, ...]

    def frequencies(self, dim: int) -> Tensor:
        """`[dim / 2]`, radians a position, by the formulas of transformers."""
        plain = 1.0 / (self.theta ** (torch.arange(0, dim, 2, dtype=torch.float) / dim))
        if self.kind == "default":
            return plain
        factor = self.numbers[0]
        if self.kind == "linear":
            return plain / factor
        _, low, high, original = self.numbers
        wavelength = 2 * math.pi / plain
        smooth = (original / wavelength - low) / (high - low)
        between = (1 - smooth) * plain / factor + smooth * plain
        short = torch.where(wavelength < original / high, plain, between)
        return torch.where(wavelength > original / low, plain / factor, short)


@dataclass(frozen=True)
class OutlineConfig:
    """What the decoder reads of a configuration. head_dim: numbers of a head."""

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool
    rms_norm_eps: float
    rope: Rope
    attention_multiplier: float
    embedding_multiplier: float
    logits_scaling: float
    residual_multiplier: float
    biased: frozenset[str]
    """The linear layers that have a bias."""
    normed_heads: bool
    sliding_window: int | None
    """Of all layers."""


def outline_config(raw: Mapping[str, Any]) -> OutlineConfig | None:
    """The configuration of a config.json that `support` accepts; None where only transformers knows what it means."""
    kind, rope = str(raw.get("model_type")), _rope(raw)
    if kind not in FURTHER or rope is None or any(raw.get(field) is None for field in (*REQUIRED, *FURTHER[kind])):
        return None
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    dim = raw.get("head_dim") or hidden // heads
    if raw["hidden_act"] != "silu" or hidden % heads or dim % 2 or raw.get("use_sliding_window"):
        return None
    if kind == "mistral" and "sliding_window" not in raw:
        return None
    multipliers = {"attention_multiplier": dim**-0.5, **dict.fromkeys(MULTIPLIERS[1:], 1.0)}
    return OutlineConfig(
        model_type=kind,
        **{field: raw[field] for field in REQUIRED if field != "hidden_act"},
        head_dim=dim,
        rope=rope,
        **{name: raw[name] if kind == "granite" else usual for name, usual in multipliers.items()},
        biased=_biased(kind, raw),
        normed_heads=kind == "qwen3",
        sliding_window=raw["sliding_window"] if kind == "mistral" else None,
    )


def _rope(raw: Mapping[str, Any]) -> Rope | None:
    """The rotation, if it is one of whole heads, of a kind that is known, and has that kind's numbers and no others."""
    told = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    theta, older = told.pop("rope_theta", raw.get("rope_theta")), told.pop("type", "default")
    kind = told.pop("rope_type", older)
    if raw.get("partial_rotary_factor") is not None or theta is None or told.keys() != set(ROPES.get(kind, "?")):
        return None
    return Rope(theta, kind, tuple(told[name] for name in ROPES[kind]))


def _biased(kind: str, raw: Mapping[str, Any]) -> frozenset[str]:
    if kind == "qwen2":
        return frozenset(("q_proj", "k_proj", "v_proj"))
    names: tuple[str, ...] = ()
    if raw.get("attention_bias") and kind != "mistral":
        names += ("q_proj", "k_proj", "v_proj", "o_proj")
    if raw.get("mlp_bias") and kind in ("llama", "granite"):
        names += ("gate_proj", "up_proj", "down_proj")
    return frozenset(names)


class Outline(nn.Module):
    """A whole model without a forward pass; its weights are on the device "meta" until `load_state_dict`."""

    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _Body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, device="meta")

    @property
    def dtype(self) -> torch.dtype:
        """That of its weights."""
        return next(self.parameters()).dtype


class _Body(nn.Module):
    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        size = config.vocab_size, config.hidden_size
        # Drawing random numbers on "meta", as nn.Embedding would, imports torch's compiler: 1.6 s.
        self.embed_tokens = nn.Embedding(size[0], size[1], _weight=torch.empty(size, device="meta"))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _Norm(config, config.hidden_size)
        self.rotary_emb = _Rotation(config)


class _Layer(nn.Module):
    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.mlp = _Mlp(config)
        self.input_layernorm = _Norm(config, config.hidden_size)
        self.post_attention_layernorm = _Norm(config, config.hidden_size)


class _Attention(nn.Module):
    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        hidden, dim = config.hidden_size, config.head_dim
        heads, kv_heads = config.num_attention_heads * dim, config.num_key_value_heads * dim
        self.q_proj = _linear(config, "q_proj", hidden, heads)
        self.k_proj = _linear(config, "k_proj", hidden, kv_heads)
        self.v_proj = _linear(config, "v_proj", hidden, kv_heads)
        self.o_proj = _linear(config, "o_proj", heads, hidden)
        self.scaling = config.attention_multiplier
        if config.normed_heads:
            self.q_norm, self.k_norm = _Norm(config, dim), _Norm(config, dim)


class _Mlp(nn.Module):
    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = _linear(config, "gate_proj", hidden, inner)
        self.up_proj = _linear(config, "up_proj", hidden, inner)
        self.down_proj = _linear(config, "down_proj", inner, hidden)
        self.act_fn = nn.SiLU()


class _Norm(nn.Module):
    def __init__(self, config: OutlineConfig, numbers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(numbers, device="meta"))
        self.variance_epsilon = config.rms_norm_eps


class _Rotation(nn.Module):
    attention_scaling = 1.0

    def __init__(self, config: OutlineConfig) -> None:
        super().__init__()
        self.dim, self.rope = config.head_dim, config.rope

    @property
    def inv_freq(self) -> Tensor:
        """`[head_dim / 2]`. Made when asked for: by then the weights are known to have heads of so many numbers."""
        return self.rope.frequencies(self.dim)


def _linear(config: OutlineConfig, name: str, inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=name in config.biased, device="meta")

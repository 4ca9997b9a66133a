"""The modules of the usual models, by the names that transformers gives them, without importing transformers.

To import one modelling class of transformers takes twice as long as to import torch. The decoder takes weights and a
few numbers out of a model, no code: where a configuration says all of these itself, the modules are made here. What
else there is (another rope, another activation, a field left to its default) is left to transformers.
"""

from __future__ import annotations

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
    rope_theta: float
    attention_multiplier: float
    embedding_multiplier: float
    logits_scaling: float
    residual_multiplier: float
    biased: frozenset[str]
    """The linear layers that have a bias."""
    normed_heads: bool


def outline_config(raw: Mapping[str, Any]) -> OutlineConfig | None:
    """The configuration of a config.json that `support` accepts; None where only transformers knows what it means."""
    kind, theta = str(raw.get("model_type")), _theta(raw)
    if kind not in FURTHER or theta is None or any(raw.get(field) is None for field in (*REQUIRED, *FURTHER[kind])):
        return None
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    dim = raw.get("head_dim") or hidden // heads
    if raw["hidden_act"] != "silu" or hidden % heads or dim % 2 or _windowed(kind, raw):
        return None
    multipliers = {"attention_multiplier": dim**-0.5, **dict.fromkeys(MULTIPLIERS[1:], 1.0)}
    return OutlineConfig(
        model_type=kind,
        **{field: raw[field] for field in REQUIRED if field != "hidden_act"},
        head_dim=dim,
        rope_theta=theta,
        **{name: raw[name] if kind == "granite" else usual for name, usual in multipliers.items()},
        biased=_biased(kind, raw),
        normed_heads=kind == "qwen3",
    )


def _windowed(kind: str, raw: Mapping[str, Any]) -> bool:
    """Mistral has a window unless it is null, Qwen where one is switched on."""
    return bool(raw.get("use_sliding_window") or (kind == "mistral" and raw.get("sliding_window", 1) is not None))


def _theta(raw: Mapping[str, Any]) -> float | None:
    """Of the plain rotation of whole heads, else None."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {"rope_theta": raw.get("rope_theta")}
    if raw.get("partial_rotary_factor") is not None or rope.keys() - {"rope_theta", "rope_type"}:
        return None
    theta: float | None = rope.get("rope_theta") if rope.get("rope_type", "default") == "default" else None
    return theta


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
        self.dim, self.theta = config.head_dim, config.rope_theta

    @property
    def inv_freq(self) -> Tensor:
        """`[head_dim / 2]`, by the formula of transformers. Made when asked for: by then the weights are known to have
        heads of so many numbers."""
        return 1.0 / (self.theta ** (torch.arange(0, self.dim, 2, dtype=torch.float) / self.dim))


def _linear(config: OutlineConfig, name: str, inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=name in config.biased, device="meta")

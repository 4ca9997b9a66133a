"""The fields of config.json and generation_config.json that matter here, each held against what it has to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alora_runtime.errors import ModelError
from alora_runtime.json_file import is_whole, read_object

KINDS = ("full_attention", "sliding_attention")
"""Layers that KV can be shared of token by token: a window is a mask, and KV is kept for all tokens."""

ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "mish")

ROPE_NUMBERS = (
    *("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    *("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "partial_rotary_factor", "attention_factor"),
)
ROPE_LISTS = ("short_factor", "long_factor")
PART = "partial_rotary_factor"

LARGEST, HUGE = 2**31 - 1, 1e15

Raw = Mapping[str, Any]
Test = Callable[[Any], bool]


def _size(value: Any) -> bool:
    return is_whole(value, 1, LARGEST)


def _number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) < HUGE


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _token(value: Any) -> bool:
    return is_whole(value, 0, LARGEST)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


FIELDS: Mapping[str, tuple[str, Test]] = {
    **dict.fromkeys(("rope_parameters", "rope_scaling"), ("an object", _object)),
    **dict.fromkeys(
        (
            *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
            *(
                "head_dim",
                "vocab_size",
                "max_position_embeddings",
                "original_max_position_embeddings",
                "sliding_window",
            ),
            *("num_local_experts", "num_experts_per_tok"),
        ),
        (f"an integer from 1 to {LARGEST}", _size),
    ),
    **dict.fromkeys(
        (
            *("rms_norm_eps", "rope_theta", "rope_local_base_freq", "logits_scaling", "query_pre_attn_scalar"),
            *("attn_logit_softcapping", "final_logit_softcapping"),
        ),
        ("a number above 0", _positive),
    ),
    **dict.fromkeys(("embedding_multiplier", "residual_multiplier", "attention_multiplier"), ("a number", _number)),
    **dict.fromkeys(
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window"), ("true or false", _flag)
    ),
    PART: ("a number from 0 to 1", lambda value: _number(value) and 0 <= value <= 1),
    "layer_types": ("a list of names", _names),
    **dict.fromkeys(
        ("hidden_act", "hidden_activation"),
        (f"one of {', '.join(ACTIVATIONS)}", lambda value: isinstance(value, str) and value in ACTIVATIONS),
    ),
    "model_type": ("a name", lambda value: isinstance(value, str)),
    "eos_token_id": (
        "a token id, or a list of them",
        lambda value: _token(value) or (isinstance(value, list) and all(map(_token, value))),
    ),
}
"""Fields of config.json and generation_config.json that matter here, where they are given: what each has to be."""


def read_fields(path: Path) -> Raw:
    """The JSON object at `path`. Raises ModelError naming the field that is not what it has to be."""
    raw = read_object(path, ModelError)
    for field, (expected, fits) in FIELDS.items():
        if raw.get(field) is not None and not fits(raw[field]):
            raise ModelError(f"{path}: {field} must be {expected}, not {raw[field]!r}")
    for field, value in (item for rope in ropes_of(raw) for item in rope.items()):
        if field in ROPE_NUMBERS and value is not None and not _positive(value):
            raise ModelError(f"{path}: {field} must be a number above 0, not {value!r}")
        if field == PART and value is not None and value > 1:
            raise ModelError(f"{path}: {field} must be {FIELDS[field][0]}, not {value!r}")
        if field in ROPE_LISTS and value is not None and not (isinstance(value, list) and all(map(_positive, value))):
            raise ModelError(f"{path}: {field} must be a list of numbers above 0, not {value!r}")
    return raw


def ropes_of(raw: Raw) -> list[Raw]:
    """One for all layers, or one for each kind of them."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling")
    if not isinstance(rope, dict):
        return []
    by_kind: list[Raw] = [part for kind, part in rope.items() if kind in KINDS and isinstance(part, dict)]
    return by_kind or [rope]

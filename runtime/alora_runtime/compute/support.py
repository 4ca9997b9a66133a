"""Which models can be served, told from config.json alone, without torch.

KV can be shared token by token only where a token's KV depends on nothing but the tokens before it, and every later
token may look at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alora_runtime.errors import ModelError
from alora_runtime.json_file import is_whole, read_object

CLASSES = {
    "llama": "LlamaForCausalLM",
    "granite": "GraniteForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}
"""model_type → class of transformers. All call one attention function with rotated queries and keys."""

ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "mish")
ROPES = ("default", "linear", "llama3", "yarn")
ROPE_NUMBERS = (
    *("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    *("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "partial_rotary_factor"),
)

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


FIELDS: Mapping[str, tuple[str, Test]] = {
    **dict.fromkeys(
        (
            *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
            *("head_dim", "vocab_size", "max_position_embeddings"),
        ),
        (f"an integer from 1 to {LARGEST}", _size),
    ),
    **dict.fromkeys(("rms_norm_eps", "rope_theta", "logits_scaling"), ("a number above 0", _positive)),
    **dict.fromkeys(("embedding_multiplier", "residual_multiplier", "attention_multiplier"), ("a number", _number)),
    **dict.fromkeys(
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window"), ("true or false", _flag)
    ),
    "hidden_act": (f"one of {', '.join(ACTIVATIONS)}", lambda value: value in ACTIVATIONS),
    "model_type": ("a name", lambda value: isinstance(value, str)),
    "eos_token_id": (
        "a token id, or a list of them",
        lambda value: _token(value) or (isinstance(value, list) and all(map(_token, value))),
    ),
}
"""Fields of config.json and generation_config.json that matter here, where they are given: what each has to be."""


@dataclass(frozen=True)
class ModelFolder:
    """What a model folder says of itself. max_positions: longest sequence, in tokens. eos: end-of-sequence tokens."""

    folder: Path
    model_type: str
    max_positions: int
    eos: tuple[int, ...]


def read_model_folder(folder: str | Path) -> ModelFolder:
    """Read and check `folder`. Raises ModelError with the reason why it cannot be served."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"model folder {folder} does not exist")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model folder: config.json is missing")
    raw = _checked(folder / "config.json")
    reason = refusal(raw)
    if reason:
        raise ModelError(f"{folder} cannot be served: {reason}")
    generation = folder / "generation_config.json"
    told = _checked(generation).get("eos_token_id") if generation.is_file() else None
    eos = raw.get("eos_token_id") if told is None else told
    return ModelFolder(folder, str(raw["model_type"]), _max_positions(raw), _tokens(eos))


def _checked(path: Path) -> Raw:
    raw = read_object(path, ModelError)
    for field, (expected, fits) in FIELDS.items():
        if raw.get(field) is not None and not fits(raw[field]):
            raise ModelError(f"{path}: {field} must be {expected}, not {raw[field]!r}")
    for field, value in _rope(raw).items():
        if field in ROPE_NUMBERS and not _positive(value):
            raise ModelError(f"{path}: {field} must be a number above 0, not {value!r}")
    return raw


def refusal(raw: Raw) -> str | None:
    """Why a model of this configuration cannot be served; None when it can."""
    kinds = {str(kind) for kind in _list(raw.get("layer_types"))} - {"full_attention"}
    if kinds:
        return f"its layers are of kinds that cannot share KV token by token: {', '.join(sorted(kinds))}"
    model_type = raw.get("model_type")
    if model_type not in CLASSES:
        return f"model_type {model_type!r} is not supported; supported are {', '.join(CLASSES)}"
    if _sliding_window(raw):
        return f"it attends through a sliding window of {_sliding_window(raw)} tokens"
    if _rope_type(raw) in ("dynamic", "longrope"):
        return f"its rope ({_rope_type(raw)}) changes with the length of the sequence, and old KV with it"
    if _rope_type(raw) not in ROPES:
        return f"its rope_type is {_rope_type(raw)!r}; supported are {', '.join(ROPES)}"
    if raw.get("quantization_config"):
        return "its weights are quantized"
    heads, groups = raw.get("num_attention_heads") or 1, raw.get("num_key_value_heads") or 1
    if heads % groups:
        return f"num_attention_heads ({heads}) is not a multiple of num_key_value_heads ({groups})"
    return None


def _max_positions(raw: Raw) -> int:
    value = raw.get("max_position_embeddings", 2048)
    return value if isinstance(value, int) else 2048


def _sliding_window(raw: Raw) -> int | None:
    # transformers' Mistral has a window of 4096 unless the configuration says null; Qwen needs it switched on.
    default = 4096 if raw["model_type"] == "mistral" else None
    window = raw.get("sliding_window", default) if raw.get("use_sliding_window", default is not None) else None
    return window if isinstance(window, int) and window < _max_positions(raw) else None


def _rope(raw: Raw) -> Raw:
    rope = raw.get("rope_parameters") or raw.get("rope_scaling")
    return rope if isinstance(rope, dict) else {}


def _rope_type(raw: Raw) -> object:
    rope = _rope(raw)
    return rope.get("rope_type", rope.get("type", ROPES[0]))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _tokens(value: object) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(token for token in _list(value) if isinstance(token, int))

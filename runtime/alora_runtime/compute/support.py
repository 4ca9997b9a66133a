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
from alora_runtime.tokenizer_file import end_token

CLASSES = {
    "llama": "LlamaForCausalLM",
    "granite": "GraniteForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "ministral": "MinistralForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
}
"""model_type → class of transformers. All call one attention function with rotated queries and keys."""

MODULES = {"gemma3_text": "gemma3"}
"""model_type → transformers' module, where that is called otherwise."""

LAYERED = ("qwen2", "qwen3", "ministral", "gemma2", "gemma3_text", "gpt_oss")
"""Those whose layers are of the kinds that `layer_types` names."""

KINDS = ("full_attention", "sliding_attention")
"""What KV can be shared for token by token: a window is a mask, and KV is kept for all tokens."""

ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "mish")
ROPES = ("default", "linear", "llama3", "yarn", "longrope", "su")
"""The last two are one: `su` is the older name."""

NEEDED = {
    **dict.fromkeys(("linear", "yarn"), ("factor",)),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    **dict.fromkeys(("longrope", "su"), ("short_factor", "long_factor")),
}
"""What these can't do without."""

ROPE_NUMBERS = (
    *("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    *("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "partial_rotary_factor", "attention_factor"),
)
PART = "partial_rotary_factor"

QUANTIZED = {
    "mxfp4": "write it in full, by transformers' AutoModelForCausalLM.from_pretrained(FOLDER, "
    "quantization_config=Mxfp4Config(dequantize=True)).save_pretrained(OTHER, save_original_format=False)"
}
"""quant_method → what to do."""

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
        raise ModelError(f"{folder} cannot be served: {reason}", _advice(raw))
    generation = folder / "generation_config.json"
    told = _checked(generation).get("eos_token_id") if generation.is_file() else None
    eos = _tokens(raw.get("eos_token_id") if told is None else told) or end_token(folder)
    return ModelFolder(folder, str(raw["model_type"]), _max_positions(raw), eos)


def _checked(path: Path) -> Raw:
    raw = read_object(path, ModelError)
    for field, (expected, fits) in FIELDS.items():
        if raw.get(field) is not None and not fits(raw[field]):
            raise ModelError(f"{path}: {field} must be {expected}, not {raw[field]!r}")
    for field, value in (item for rope in _ropes(raw) for item in rope.items()):
        if field in ROPE_NUMBERS and value is not None and not _positive(value):
            raise ModelError(f"{path}: {field} must be a number above 0, not {value!r}")
        if field == PART and value is not None and value > 1:
            raise ModelError(f"{path}: {field} must be {FIELDS[field][0]}, not {value!r}")
    return raw


def refusal(raw: Raw) -> str | None:
    """Why a model of this configuration cannot be served; None when it can."""
    model_type, kinds = raw.get("model_type"), {str(kind) for kind in _list(raw.get("layer_types"))}
    others = ", ".join(sorted(kinds.difference(KINDS, ["attention"])))
    if others:
        return f"its layers are of kinds that cannot share KV token by token: {others}"
    if model_type is None:
        return "config.json does not say its model_type"
    if model_type not in CLASSES:
        return f"model_type {model_type!r} is not supported; supported are {', '.join(CLASSES)}"
    if raw.get("quantization_config"):
        return f"its weights are quantized (quantization_config: {_quantization(raw)})"
    layers, names = raw.get("num_hidden_layers"), _list(raw.get("layer_types"))
    if names and layers is not None and len(names) != layers:
        return f"its layer_types names {len(names)} layers, and num_hidden_layers is {layers}"
    if "sliding_attention" in kinds and model_type not in LAYERED:
        return f"its layer_types has sliding_attention, which model_type {model_type!r} has no layers of"
    if raw.get("use_bidirectional_attention"):
        return "its tokens attend to later ones (use_bidirectional_attention)"
    if "sliding_attention" in kinds and _window(raw) is None:
        return "its layer_types has sliding_attention, and no window is given (sliding_window, use_sliding_window)"
    for rope in _ropes(raw):
        kind = _rope_type(rope)
        if kind == "dynamic":
            return "its rope (dynamic) changes with the length of the sequence, and old KV with it"
        if kind not in ROPES:
            return f"its rope_type is {kind!r}; supported are {', '.join(ROPES)}"
        if missing := [field for field in NEEDED.get(str(kind), ()) if rope.get(field) is None]:
            return f"its rope_type is {kind!r}, and rope_parameters lacks {', '.join(missing)}"
    experts, active = raw.get("num_local_experts"), raw.get("num_experts_per_tok")
    if experts is not None and active is not None and active > experts:
        return f"num_experts_per_tok ({active}) is more than num_local_experts ({experts})"
    heads, groups = raw.get("num_attention_heads") or 1, raw.get("num_key_value_heads") or 1
    if heads % groups:
        return f"num_attention_heads ({heads}) is not a multiple of num_key_value_heads ({groups})"
    return None


def _advice(raw: Raw) -> str | None:
    """What to do about a model that is refused."""
    inner = raw.get("text_config")
    if raw.get("model_type") not in CLASSES and isinstance(inner, dict) and inner.get("model_type") in CLASSES:
        return f"its language model can be served once it is saved by itself, as model_type {inner['model_type']!r}"
    if raw.get("model_type") in CLASSES and raw.get("quantization_config"):
        return QUANTIZED.get(_quantization(raw), "use the checkpoint that it was made from, in bfloat16 or float32")
    return None


def _quantization(raw: Raw) -> str:
    """How its weights are quantized."""
    found = raw["quantization_config"]
    return str(found.get("quant_method", "unknown")) if isinstance(found, dict) else "unknown"


def _max_positions(raw: Raw) -> int:
    """max_position_embeddings, or what the rope stretches the original length to. Longrope turns otherwise in sequences
    beyond its original length, from their first token on: KV means the same up to there only."""
    positions: int = raw.get("max_position_embeddings") or 2048
    ropes, phi = _ropes(raw), raw["model_type"] == "phi3"
    if len(ropes) != 1:  # none, or by kind of layer: of these not all are stretched
        return positions
    told = raw.get("original_max_position_embeddings") or (4096 if phi else None)  # which transformers prefers
    original: int = told or ropes[0].get("original_max_position_embeddings") or positions
    kind = _rope_type(ropes[0])
    if kind in ("longrope", "su") or (kind == "yarn" and phi):
        return min(original, positions)
    return max(positions, int(original * (ropes[0].get("factor") or 1))) if kind != "default" else positions


def _window(raw: Raw) -> int | None:
    """What transformers takes as the window of layers that have one."""
    if raw["model_type"] in ("qwen2", "qwen3") and not raw.get("use_sliding_window"):
        return None
    window: int | None = raw.get("sliding_window", 128 if raw["model_type"] == "gpt_oss" else 4096)
    return window


def _ropes(raw: Raw) -> list[Raw]:
    """One for all layers, or one for each kind of them."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling")
    if not isinstance(rope, dict):
        return []
    by_kind: list[Raw] = [part for kind, part in rope.items() if kind in KINDS and isinstance(part, dict)]
    return by_kind or [rope]


def _rope_type(rope: Raw) -> object:
    return rope.get("rope_type", rope.get("type", ROPES[0]))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _tokens(value: object) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(token for token in _list(value) if isinstance(token, int))

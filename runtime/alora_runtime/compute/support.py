"""Which models can be served, told from config.json alone, without torch.

KV can be shared token by token only where a token's KV depends on nothing but the tokens before it, and every later
token may look at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alora_runtime.compute.fields import KINDS, PART, Raw, read_fields, ropes_of
from alora_runtime.errors import ModelError
from alora_runtime.tokenizer_file import end_token

CLASSES = {
    "llama": "LlamaForCausalLM",
    "granite": "GraniteForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "ministral": "MinistralForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
}
"""model_type → class of transformers. All call one attention function with rotated queries and keys."""

MODULES = {"gemma3_text": "gemma3"}
"""model_type → transformers' module, where that is called otherwise."""

LAYERED = ("qwen2", "qwen3", "smollm3", "ministral", "gemma2", "gemma3_text", "gpt_oss")
"""Those whose layers are of the kinds that `layer_types` names."""

RECURRENT = (
    *("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "recurrent_gemma", "jamba", "bamba", "zamba", "zamba2"),
    *("falcon_h1", "nemotron_h", "olmo_hybrid", "lfm2", "lfm2_moe", "minimax", "kimi_linear"),
    *("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"),
)
"""Those whose layers, or some of them, carry a state from token to token."""

ROPES = ("default", "linear", "llama3", "yarn", "longrope")

NEEDED = {
    **dict.fromkeys(("linear", "yarn"), ("factor",)),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor"),
}
"""What these can't do without."""

QUANTIZED = {
    "mxfp4": "write it in full, by transformers' AutoModelForCausalLM.from_pretrained(FOLDER, "
    "quantization_config=Mxfp4Config(dequantize=True)).save_pretrained(OTHER, save_original_format=False)"
}
"""quant_method → what to do."""


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
    raw = current(read_fields(folder / "config.json"))
    reason = refusal(raw)
    if reason:
        raise ModelError(f"{folder} cannot be served: {reason}", _advice(raw))
    generation = folder / "generation_config.json"
    told = read_fields(generation).get("eos_token_id") if generation.is_file() else None
    eos = _tokens(raw.get("eos_token_id") if told is None else told) or end_token(folder)
    return ModelFolder(folder, str(raw["model_type"]), _max_positions(raw), eos)


def refusal(raw: Raw) -> str | None:
    """Why a model of this configuration cannot be served; None when it can."""
    model_type, kinds = raw.get("model_type"), {str(kind) for kind in _list(raw.get("layer_types"))}
    others = ", ".join(sorted(kinds.difference(KINDS, ["attention"])))
    if others:
        return f"its layers are of kinds that cannot share KV token by token: {others}"
    if model_type is None:
        return "config.json does not say its model_type"
    if model_type in RECURRENT:
        return f"model_type {model_type!r} has recurrent layers: their state is no token's, so that no KV can be shared"
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
    for rope in ropes_of(raw):
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
    return _odd_rope(raw, heads)


def _odd_rope(raw: Raw, heads: int) -> str | None:
    """Why a head of this size can't be turned so; None where it can, or its size is not told."""
    dim, parts = raw.get("head_dim") or raw.get("hidden_size", 0) // heads, [raw, *ropes_of(raw)]
    rotated = int(dim * next((rope[PART] for rope in parts if rope.get(PART) is not None), 1))
    if rotated % 2:
        return f"of each head {rotated} numbers are turned by its rope, and they are turned in pairs"
    for rope in ropes_of(raw) if dim else ():
        for field in ("short_factor", "long_factor"):
            if _rope_type(rope) == "longrope" and len(rope[field]) != rotated // 2:
                return f"its rope has {len(rope[field])} numbers in {field}, and {rotated // 2} pairs to turn"
    return None


def current(raw: Raw) -> Raw:
    """The same in the words of today: Phi-3's longrope was called `su`, and `yarn`, and its type `type`."""
    for field in ("rope_parameters", "rope_scaling"):
        rope = raw.get(field)
        if raw.get("model_type") == "phi3" and isinstance(rope, dict) and _rope_type(rope) in ("su", "yarn"):
            raw = {**raw, field: {**rope, "type": "longrope", "rope_type": "longrope"}}
    return raw


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
    ropes, phi = ropes_of(raw), raw["model_type"] == "phi3"
    if len(ropes) != 1:  # none, or by kind of layer: of these not all are stretched
        return positions
    told = raw.get("original_max_position_embeddings") or (4096 if phi else None)  # which transformers prefers
    original: int = told or ropes[0].get("original_max_position_embeddings") or positions
    kind = _rope_type(ropes[0])
    if kind == "longrope":
        return min(original, positions)
    return max(positions, int(original * (ropes[0].get("factor") or 1))) if kind != "default" else positions


def _window(raw: Raw) -> int | None:
    """What transformers takes as the window of layers that have one."""
    if raw["model_type"] in ("qwen2", "qwen3", "smollm3") and not raw.get("use_sliding_window"):
        return None
    window: int | None = raw.get("sliding_window", 128 if raw["model_type"] == "gpt_oss" else 4096)
    return window


def _rope_type(rope: Raw) -> object:
    return rope.get("rope_type", rope.get("type", ROPES[0]))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _tokens(value: object) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(token for token in _list(value) if isinstance(token, int))

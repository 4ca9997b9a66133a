"""Which models can be served, told from config.json alone, without torch.

KV can be shared token by token only where a token's KV depends on nothing but the tokens before it, and every later
token may look at all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alora_runtime.errors import ModelError

CLASSES = {
    "llama": "LlamaForCausalLM",
    "granite": "GraniteForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}
"""model_type → class of transformers. All call one attention function with rotated queries and keys."""

Raw = Mapping[str, object]


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
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} is not a model folder: it holds no *.safetensors weights")
    raw = _json(folder / "config.json")
    reason = refusal(raw)
    if reason:
        raise ModelError(f"{folder} cannot be served: {reason}")
    generation = folder / "generation_config.json"
    eos = _json(generation).get("eos_token_id") if generation.is_file() else None
    return ModelFolder(folder, str(raw["model_type"]), _max_positions(raw), _tokens(eos or raw.get("eos_token_id")))


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
    if raw.get("quantization_config"):
        return "its weights are quantized"
    return None


def _max_positions(raw: Raw) -> int:
    value = raw.get("max_position_embeddings", 2048)
    return value if isinstance(value, int) else 2048


def _sliding_window(raw: Raw) -> int | None:
    # transformers' Mistral has a window of 4096 unless the configuration says null; Qwen needs it switched on.
    default = 4096 if raw["model_type"] == "mistral" else None
    window = raw.get("sliding_window", default) if raw.get("use_sliding_window", default is not None) else None
    return window if isinstance(window, int) and window < _max_positions(raw) else None


def _rope_type(raw: Raw) -> object:
    rope = raw.get("rope_parameters") or raw.get("rope_scaling")
    return rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None


def _json(path: Path) -> Raw:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} is not a JSON object")
    return raw


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _tokens(value: object) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(token for token in _list(value) if isinstance(token, int))

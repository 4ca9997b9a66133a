"""Small GGUF files, written as llama.cpp's converter writes them, from checkpoints of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file

from benchmarks.llama_gguf import rotary

Tokens = dict[str, Any]
"""Keys of `tokenizer.…` and their values."""

ARCHITECTURES = {
    "llama": "LLAMA",
    "mistral": "LLAMA",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
    "granite": "GRANITE",
    "gemma2": "GEMMA2",
    "gemma3_text": "GEMMA3",
}
LOCAL = {"rope_type": "default", "rope_theta": 1e4}
STORED: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("llama", "llama3-rope", "granite", "qwen2", "qwen3", "mistral")},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": {
        "query_pre_attn_scalar": 16,
        "num_hidden_layers": 7,
        "sliding_window_pattern": 6,
        "final_logit_softcapping": None,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 5e4, "factor": 2.0},
            "sliding_attention": LOCAL,
        },
    },
}
"""Checkpoints that a GGUF file can hold, and what their shape must be for that: the file does not say it."""

PAIRED = ("LLAMA", "GRANITE")
GRANITE = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
GEMMA = {
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
NUMBERS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "vocab_size": "vocab_size",
}


def byte_tokens(folder: Path, padded: int) -> Tokens:
    """Of the checkpoints' tokenizer: a token a byte, control tokens, and padding up to the matrix."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    control = [token["content"] for token in tokenizer["added_tokens"]]
    filling = [f"[PAD{number}]" for number in range(len(vocabulary) + len(control), padded)]
    kinds = [(vocabulary, gguf.TokenType.NORMAL), (control, gguf.TokenType.CONTROL), (filling, gguf.TokenType.UNUSED)]
    return {
        "ggml.model": "gpt2",
        "ggml.pre": "gpt-2",
        "ggml.tokens": [*vocabulary, *control, *filling],
        "ggml.token_type": [int(kind) for texts, kind in kinds for _ in texts],
        "ggml.eos_token_id": len(vocabulary),
    }


def write_file(
    path: Path,
    checkpoint: Path,
    kind: Type = Type.F32,
    tokens: Tokens | None = None,
    other: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
    raw: dict[str, tuple[np.ndarray, Type]] | None = None,
) -> Path:
    """A checkpoint of one safetensors file, with matrices of this type where their rows can be; `other` keys are
    written over its own, and left out where they are None; `raw` are bytes in place of a tensor."""
    config = json.loads((checkpoint / "config.json").read_text())
    architecture = ARCHITECTURES[config["model_type"]]
    name, number = architecture.lower(), gguf.MODEL_ARCH[architecture]
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config["rope_parameters"].get("full_attention", config["rope_parameters"])
    gemma = GEMMA if architecture.startswith("GEMMA") else {}
    values: dict[str, Any] = {
        **{f"{name}.{key}": config[theirs] for key, theirs in NUMBERS.items()},
        f"{name}.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        f"{name}.attention.key_length": dim,
        f"{name}.attention.value_length": dim,
        f"{name}.rope.dimension_count": dim,
        f"{name}.rope.freq_base": float(rope["rope_theta"]),
        **{f"{name}.{key}": float(config[theirs]) for key, theirs in GRANITE.items() if architecture == "GRANITE"},
        **{f"{name}.{key}": config[theirs] for key, theirs in gemma.items()},
        **{
            f"tokenizer.{key}": value
            for key, value in (tokens or byte_tokens(checkpoint, config["vocab_size"])).items()
        },
        **(other or {}),
    }
    if rope["rope_type"] in ("linear", "yarn"):
        values |= {f"{name}.rope.scaling.type": rope["rope_type"], f"{name}.rope.scaling.factor": float(rope["factor"])}
        values[f"{name}.rope.scaling.original_context_length"] = rope.get("original_max_position_embeddings", 0)
    writer = gguf.GGUFWriter(path, values.pop("general.architecture", name))
    for key, value in values.items():
        if value is not None:
            _add(writer, key, value)
    names = gguf.get_tensor_name_map(number, config["num_hidden_layers"])
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for theirs, tensor in load_file(checkpoint / "model.safetensors").items():
        own = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert own is not None, theirs
        if raw and own in raw:
            writer.add_tensor(own, raw[own][0], raw_dtype=raw[own][1])
            continue
        array = tensor.float().numpy()
        if architecture in PAIRED and (part := own.split(".")[-2]) in heads:
            array = rotary(array, heads[part])
        _store(writer, own, array + 1 if gemma and own.endswith("norm.weight") else array, kind)
    if rope["rope_type"] == "llama3":
        _store(writer, "rope_freqs.weight", llama3_factors(rope, dim), Type.F32)
    for own, array in (extra or {}).items():
        _store(writer, own, array, Type.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    getattr(writer, f"add_{kinds[type(value)]}")(key, value)


def _store(writer: gguf.GGUFWriter, name: str, array: np.ndarray, kind: Type) -> None:
    block = gguf.GGML_QUANT_SIZES[kind][0]
    fits = array.ndim > 1 and array.shape[-1] % block == 0
    found = kind if fits else Type.F32
    writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(array, np.float32), found), raw_dtype=found)


def llama3_factors(rope: dict[str, float], dim: int) -> np.ndarray:
    """As llama.cpp's converter computes them, frequency by frequency."""
    factors = []
    for place in range(0, dim, 2):
        wavelength = 2 * np.pi * rope["rope_theta"] ** (place / dim)
        original, low, high = (
            rope[key] for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
        )
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)

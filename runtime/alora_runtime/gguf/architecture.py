"""What a GGUF file says of its layers → the config.json of transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alora_runtime.errors import ModelError
from alora_runtime.gguf.file import ORIGINAL, GgufFile
from alora_runtime.gguf.gemma import GEMMA2, GEMMA3, Gemma, gemma_config
from alora_runtime.gguf.rope import rope_parameters


@dataclass(frozen=True)
class Architecture:
    """model_type: transformers' name. paired: whether q and k rotate neighbouring rows, where transformers rotates the
    halves of a head. numbers: keys that only this one has → fields of config.json. gemma: what is Gemma's own."""

    model_type: str
    paired: bool
    numbers: dict[str, str] = field(default_factory=dict)
    gemma: Gemma | None = None


GRANITE = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
ARCHITECTURES = {
    "llama": Architecture("llama", paired=True),
    "qwen2": Architecture("qwen2", paired=False),
    "qwen3": Architecture("qwen3", paired=False),
    "granite": Architecture("granite", paired=True, numbers=GRANITE),
    "gemma2": Architecture("gemma2", paired=False, gemma=GEMMA2),
    "gemma3": Architecture("gemma3_text", paired=False, gemma=GEMMA3),
}
"""Mistral's files say that they are Llama, which computes the same."""

ELSEWHERE = ("phi3", "gpt-oss")
"""Of these only GGUF files are not read."""

SIZES = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
}
OTHERS = {
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
}
IDLE = {"vocab_size", "tensor_data_layout", "expert_count", "expert_used_count", "attention.sliding_window"}
"""Keys that change nothing, the last three where `_check` lets them pass."""


def read_architecture(file: GgufFile) -> Architecture:
    """Raises ModelError with the names that there are."""
    name = file.need("general.architecture", str)
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(
            f"{file.path}: architecture {name!r} is not supported; supported are {known}",
            ORIGINAL if name in ELSEWHERE else None,
        )
    return ARCHITECTURES[name]


def read_config(file: GgufFile) -> dict[str, Any]:
    """config.json without what the tokenizer adds. Raises ModelError naming the key."""
    kind, prefix = read_architecture(file), file.need("general.architecture", str)
    sizes = {theirs: _size(file, f"{prefix}.{key}") for key, theirs in SIZES.items()}
    heads = sizes["num_attention_heads"]
    dim = file.get(f"{prefix}.attention.key_length", int) or sizes["hidden_size"] // heads
    if dim < 2 or dim % 2:
        raise ModelError(f"{file.path}: a head must be of an even size, not of {dim}")
    rope, rope_keys = rope_parameters(file, prefix, dim, sizes["max_position_embeddings"])
    own = {*rope_keys, *kind.numbers, *(kind.gemma.keys if kind.gemma else ())}
    _check(file, prefix, dim, None if kind.gemma else sizes["max_position_embeddings"], own)
    config = {
        "model_type": kind.model_type,
        **sizes,
        "num_key_value_heads": file.get(f"{prefix}.attention.head_count_kv", int) or heads,
        "head_dim": dim,
        "hidden_act": "silu",
        "rms_norm_eps": file.need(f"{prefix}.attention.layer_norm_rms_epsilon", float),
        "rope_parameters": rope,
        "vocab_size": _rows(file, "token_embd.weight"),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    if kind.model_type in ("llama", "granite"):
        config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
        config["mlp_bias"] = "blk.0.ffn_up.bias" in file.tensors
    for key, theirs in kind.numbers.items():
        value = file.get(f"{prefix}.{key}", float)
        config[theirs] = value or (dim**-0.5 if key == "attention.scale" else 1.0)
    return config | gemma_config(file, prefix, kind.gemma, config) if kind.gemma else config


def _size(file: GgufFile, key: str) -> int:
    value = file.need(key, int)
    if value < 1:
        raise ModelError(f"{file.path}: {key} must be at least 1, not {value}")
    return value


def _rows(file: GgufFile, name: str) -> int:
    if name not in file.tensors:
        raise ModelError(f"{file.path} lacks the tensor {name}")
    return int(file.tensors[name].shape[-1])


def _check(file: GgufFile, prefix: str, dim: int, positions: int | None, own: set[str]) -> None:
    """Whether nothing else is said that would change what is computed. positions: of one without a window."""
    if file.get(f"{prefix}.attention.value_length", int) not in (None, dim):
        raise ModelError(f"{file.path}: {prefix}.attention.value_length must be its key_length, {dim}")
    if file.get(f"{prefix}.expert_count", int):
        raise ModelError(f"{file.path}: {prefix}.expert_count: mixtures of experts are not supported")
    window = file.get(f"{prefix}.attention.sliding_window", int)
    if window and positions and window < positions:
        raise ModelError(f"{file.path}: {prefix}.attention.sliding_window, {window}, is not supported", ORIGINAL)
    known = {*SIZES, *OTHERS, *IDLE, *own}
    for key in sorted(file.keys):
        if key.startswith(f"{prefix}.") and key.removeprefix(f"{prefix}.") not in known:
            raise ModelError(f"{file.path}: {key} is not supported, and may change what the model computes")

"""How a GGUF file says that positions rotate → transformers' `rope_parameters`."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from alora_runtime.errors import ModelError
from alora_runtime.gguf.file import GgufFile

FACTORS = "rope_freqs.weight"
"""Llama 3's: by what each frequency is divided."""

LOW, HIGH = 1.0, 4.0
"""Llama 3's own; all its files have them."""

KEYS = (
    *("rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor"),
    *("rope.scaling.original_context_length", "rope.scaling.finetuned", "rope.scaling.attn_factor"),
)


def rope_parameters(file: GgufFile, prefix: str, dim: int, positions: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters, and the keys that they come from. Raises ModelError where there is no equal in transformers."""
    if file.get(f"{prefix}.rope.dimension_count", int) not in (None, dim):
        raise ModelError(f"{file.path}: {prefix}.rope.dimension_count must be the size of a head, {dim}")
    if file.get(f"{prefix}.rope.scaling.attn_factor", float) not in (None, 1.0):
        raise ModelError(f"{file.path}: {prefix}.rope.scaling.attn_factor is not supported but for 1.0")
    if prefix == "granite" and file.get("granite.rope.scaling.finetuned", bool) is False:
        raise ModelError(f"{file.path}: granite.rope.scaling.finetuned false means no rope, which is not supported")
    theta = file.get(f"{prefix}.rope.freq_base", float) or 10000.0
    kind = file.get(f"{prefix}.rope.scaling.type", str) or "none"
    factor = file.get(f"{prefix}.rope.scaling.factor", float) or 1.0
    original = file.get(f"{prefix}.rope.scaling.original_context_length", int) or positions
    parameters: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if FACTORS in file.tensors:
        parameters |= _llama3(file, theta, dim)
    elif kind == "linear":
        parameters |= {"rope_type": "linear", "factor": factor}
    elif kind == "yarn":
        parameters |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    elif kind != "none":
        raise ModelError(
            f"{file.path}: {prefix}.rope.scaling.type {kind!r} is not supported; supported are linear, yarn"
        )
    return parameters, KEYS


def _llama3(file: GgufFile, theta: float, dim: int) -> dict[str, Any]:
    """The file keeps only what came of the parameters: they are those that give the same."""
    stored = np.asarray(file.tensors[FACTORS].data, dtype=np.float64).reshape(-1)
    factor = float(stored.max())
    if len(stored) != dim // 2:
        raise ModelError(f"{file.path}: {FACTORS} must have {dim // 2} values, not {len(stored)}")
    for original in (2**power for power in range(4, 21)):
        expected = _factors(theta, dim, factor, original)
        if np.allclose(expected, stored, rtol=1e-5):
            return {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": LOW,
                "high_freq_factor": HIGH,
                "original_max_position_embeddings": original,
            }
    raise ModelError(f"{file.path}: {FACTORS} holds other values than Llama 3's rope has, which are not supported")


def _factors(theta: float, dim: int, factor: float, original: int) -> np.ndarray:
    """By what Llama 3 divides each of its `[dim / 2]` frequencies (transformers' `_compute_llama3_parameters`)."""
    wavelengths = 2 * pi * theta ** (np.arange(0, dim, 2) / dim)
    smooth = np.clip((original / wavelengths - LOW) / (HIGH - LOW), 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)

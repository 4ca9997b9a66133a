"""A GGUF file's tensors → model.safetensors, one tensor in memory at a time."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

from alora_runtime.errors import ModelError
from alora_runtime.gguf.architecture import Architecture
from alora_runtime.gguf.file import GgufFile
from alora_runtime.gguf.gemma import MODULES
from alora_runtime.gguf.opening import Progress
from alora_runtime.gguf.rope import FACTORS

WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""llama.cpp's names of modules → transformers'. Gemma has some of its own."""

KEPT = {GGMLQuantizationType.F16: ("F16", 2), GGMLQuantizationType.BF16: ("BF16", 2)}
"""Types that safetensors has too, with their bytes a number; all others become float32, which holds them exactly."""


def write_weights(
    file: GgufFile, target: Path, architecture: Architecture, config: dict[str, Any], progress: Progress | None
) -> None:
    """Write all tensors under transformers' names, their rows in its order. Raises ModelError naming the tensor."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    layer = LAYER | MODULES if architecture.gemma else LAYER
    names = {name: _name(file, name, layer) for name in file.tensors if name != FACTORS}
    _check_layers(file, config["num_hidden_layers"])
    _check_types(file)
    header, total = _header(file, names)
    _check_room(file, target.parent, total)
    with open(target, "wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        done = 0
        for name in names:
            part = name.split(".")[-2]
            values = _values(file, name)
            if architecture.paired and part in heads:
                values = halves(file, name, values, heads[part])
            if architecture.gemma and part.endswith("norm"):
                values = _less_one(file, name, values)
            done += out.write(values.tobytes())
            if progress:
                progress(done, total)


def _name(file: GgufFile, name: str, layer: dict[str, str]) -> str:
    match = re.fullmatch(r"(?:blk\.(\d{1,9})\.)?(\w+)\.(weight|bias)", name)
    module = (layer if match[1] else WHOLE).get(match[2]) if match else None
    if match is None or module is None:
        raise ModelError(f"{file.path}: there is no place for the tensor {name} in a model of its architecture")
    return f"model.layers.{match[1]}.{module}.{match[3]}" if match[1] else f"{module}.{match[3]}"


def _check_layers(file: GgufFile, count: int) -> None:
    """Whether there are so many layers, each of the same tensors."""
    layers: dict[int, set[str]] = {}
    for name in file.tensors:
        if match := re.fullmatch(r"blk\.(\d{1,9})\.(.+)", name):
            layers.setdefault(int(match[1]), set()).add(match[2])
    if len(layers) != count or max(layers) != count - 1:
        raise ModelError(f"{file.path} says that it has {count} layers, and holds {len(layers)}")
    every = set().union(*layers.values())
    for number, own in layers.items():
        if own != every:
            raise ModelError(f"{file.path} lacks the tensor blk.{number}.{min(every - own)}, which other layers have")


def _check_types(file: GgufFile) -> None:
    """Whether each is of a type that can be read: one block of zeros tells."""
    first = {tensor.tensor_type: name for name, tensor in reversed(file.tensors.items())}
    for kind, name in first.items():
        if kind not in KEPT:
            _dequantized(file, name, np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8))


def _header(file: GgufFile, names: dict[str, str]) -> tuple[bytes, int]:
    """That of safetensors, and the bytes of all tensors."""
    entries, end = {}, 0
    for name, theirs in names.items():
        dtype, size = KEPT.get(file.tensors[name].tensor_type, ("F32", 4))
        shape = [int(length) for length in reversed(file.tensors[name].shape)]
        start, end = end, end + size * prod(shape)
        entries[theirs] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8), end


def _check_room(file: GgufFile, folder: Path, total: int) -> None:
    free = disk_usage(folder).free
    if free < total:
        raise ModelError(
            f"{file.path} takes {total / 1e9:.1f} GB as a model folder, and {folder.parent.parent} has room for "
            f"{free / 1e9:.1f} GB; the environment variable ALORA_FLOW_CACHE names another folder"
        )


def _values(file: GgufFile, name: str) -> np.ndarray:
    """Its numbers as they will be stored; bfloat16, which numpy has not, as integers."""
    tensor = file.tensors[name]
    shape = [int(length) for length in reversed(tensor.shape)]
    if tensor.tensor_type in KEPT:
        return np.asarray(tensor.data).view(np.uint16).reshape(shape)
    return _dequantized(file, name, tensor.data).reshape(shape)


def _dequantized(file: GgufFile, name: str, data: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(dequantize(data, file.tensors[name].tensor_type), dtype=np.float32)
    except (NotImplementedError, ValueError) as error:
        raise ModelError(f"{file.path}: {name} is of a type that cannot be read: {error}") from None


def _less_one(file: GgufFile, name: str, values: np.ndarray) -> np.ndarray:
    """Gemma's norms as transformers stores them."""
    if values.dtype != np.float32:
        raise ModelError(f"{file.path}: {name} is stored as {file.tensors[name].tensor_type.name}, not as F32")
    less: np.ndarray = values - np.float32(1)
    return less


def halves(file: GgufFile, name: str, values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of pairs → of each head, the even ones before the odd ones."""
    if len(values) % (2 * heads):
        raise ModelError(f"{file.path}: {name} has {len(values)} rows, which {heads} heads cannot share in pairs")
    return values.reshape(heads, -1, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)

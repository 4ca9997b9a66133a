"""Adapter weights: read from a folder and checked against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from alora_runtime.adapters.config import WEIGHTS, AdapterConfig
from alora_runtime.adapters.header import PREFIX
from alora_runtime.errors import AdapterError
from alora_runtime.foreign import unreadable

Shapes = Mapping[str, tuple[int, ...]]
"""(outputs, inputs) of each Linear that an adapter may update, by module name."""

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What weights may be stored as."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """One adapter at one Linear: down `[rank, inputs]`, up `[outputs, rank]`, the scale already in `up`."""

    down: Tensor
    up: Tensor


def load_updates(name: str, config: AdapterConfig, layers: Shapes, dtype: torch.dtype) -> dict[str, LowRank]:
    """The adapter's weights by module, checked against the model before anything is changed.

    Raises AdapterError naming the adapter, the module and the shapes, when they do not belong to this model.
    """
    tensors = _read(name, config)
    modules = sorted({key.removeprefix(PREFIX).rpartition(".lora_")[0] for key in tensors})
    for module in modules:
        if module not in layers:
            raise AdapterError(f"adapter {name!r} is for another base: this model has no adaptable module {module!r}")
        if not config.targets_module(module):
            raise AdapterError(f"adapter {name!r} has weights for {module!r}, which its config does not target")
    missing = next((module for module in layers if config.targets_module(module) and module not in modules), None)
    if missing or not modules:
        raise AdapterError(f"adapter {name!r} has no weights for {missing or 'any module'!r}, which its config targets")
    return {module: _update(name, config, module, tensors, layers[module], dtype) for module in modules}


def _read(name: str, config: AdapterConfig) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(config.folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise unreadable(config.folder / WEIGHTS, error, AdapterError) from None
    for key in tensors:
        if not key.startswith(PREFIX) or not key.endswith((".lora_A.weight", ".lora_B.weight")):
            raise AdapterError(f"adapter {name!r} has a tensor that is no LoRA weight: {key!r}")
    return tensors


def _update(
    name: str,
    config: AdapterConfig,
    module: str,
    tensors: Mapping[str, Tensor],
    shape: tuple[int, ...],
    dtype: torch.dtype,
) -> LowRank:
    outputs, inputs = shape
    rank = config.rank_of(module)
    sides = []
    for side, wanted in (("A", (rank, inputs)), ("B", (outputs, rank))):
        tensor = tensors.get(f"{PREFIX}{module}.lora_{side}.weight")
        if tensor is None:
            raise AdapterError(f"adapter {name!r} has no lora_{side} for {module!r}")
        if tuple(tensor.shape) != wanted:
            raise AdapterError(
                f"adapter {name!r} is for another base: lora_{side} of {module!r} is {list(tensor.shape)}, "
                f"and this model with rank {rank} needs {list(wanted)}"
            )
        if tensor.dtype not in DTYPES:
            raise AdapterError(
                f"adapter {name!r} has lora_{side} of {module!r} as {tensor.dtype}, not as one of {DTYPES}"
            )
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"adapter {name!r} has weights that are not finite, in lora_{side} of {module!r}")
        sides.append(tensor.to(dtype))
    update = LowRank(sides[0], sides[1] * config.scale_of(module))
    for side, scaled in (("A", update.down), ("B", update.up)):
        if not torch.isfinite(scaled).all():  # it would spoil the rows of others, too, which are multiplied by 0
            raise AdapterError(
                f"adapter {name!r} has weights that are not finite as {dtype}, in lora_{side} of {module!r} with its "
                f"scale {config.scale_of(module)}"
            )
    return update

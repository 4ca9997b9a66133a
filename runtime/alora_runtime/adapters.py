"""Adapter weights, and Linear layers that add them only to the rows that carry the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .adapter_config import WEIGHTS, AdapterConfig
from .errors import AdapterError

PREFIX = "base_model.model."
"""What PEFT puts before the base's own module names."""


class Routing:
    """Which rows of the forward pass under way carry which adapter; every wrapped layer of a model shares one."""

    def __init__(self) -> None:
        self.adapters: tuple[tuple[int, slice | Tensor], ...] = ()


@dataclass(frozen=True, slots=True)
class LowRank:
    """One adapter at one Linear: down `[rank, inputs]`, up `[outputs, rank]`, the scale already in `up`."""

    down: Tensor
    up: Tensor


class AdaptedLinear(nn.Module):
    """A Linear plus, on each row, the low-rank update of the row's adapter."""

    def __init__(self, base: nn.Linear, routing: Routing) -> None:
        super().__init__()
        # Column-major weights: with the usual layout MKL reads all of them again for each group of four rows.
        self.weight = nn.Parameter(base.weight.detach().t().contiguous().t(), requires_grad=False)
        self.bias = base.bias
        self.routing = routing
        self.updates: dict[int, LowRank] = {}

    def forward(self, hidden: Tensor) -> Tensor:
        """`[1, rows, inputs]` → `[1, rows, outputs]`."""
        output = F.linear(hidden, self.weight, self.bias)
        for adapter, rows in self.routing.adapters:
            update = self.updates.get(adapter)
            if update is not None:
                output[0, rows] += F.linear(F.linear(hidden[0, rows], update.down), update.up)
        return output


def wrap_linears(model: nn.Module, routing: Routing) -> dict[str, AdaptedLinear]:
    """Replace every Linear inside the decoder layers; returns them by module name."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    wrapped = {}
    for name, linear in found:
        if ".layers." in name:
            parent, _, last = name.rpartition(".")
            wrapped[name] = AdaptedLinear(linear, routing)
            setattr(model.get_submodule(parent), last, wrapped[name])
    return wrapped


def load_updates(name: str, config: AdapterConfig, layers: Mapping[str, AdaptedLinear]) -> dict[str, LowRank]:
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
    return {module: _update(name, config, module, tensors, layers[module]) for module in modules}


def _read(name: str, config: AdapterConfig) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(config.folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"adapter {name!r}: {config.folder / WEIGHTS} cannot be read: {error}") from None
    for key in tensors:
        if not key.startswith(PREFIX) or not key.endswith((".lora_A.weight", ".lora_B.weight")):
            raise AdapterError(f"adapter {name!r} has a tensor that is no LoRA weight: {key!r}")
    return tensors


def _update(
    name: str, config: AdapterConfig, module: str, tensors: Mapping[str, Tensor], layer: AdaptedLinear
) -> LowRank:
    outputs, inputs = layer.weight.shape
    rank = config.rank_of(module)
    sides = []
    for side, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
        tensor = tensors.get(f"{PREFIX}{module}.lora_{side}.weight")
        if tensor is None:
            raise AdapterError(f"adapter {name!r} has no lora_{side} for {module!r}")
        if tuple(tensor.shape) != shape:
            raise AdapterError(
                f"adapter {name!r} is for another base: lora_{side} of {module!r} is {list(tensor.shape)}, "
                f"and this model with rank {rank} needs {list(shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"adapter {name!r} has weights that are not finite, in lora_{side} of {module!r}")
        sides.append(tensor.to(layer.weight))
    return LowRank(sides[0], sides[1] * config.scale_of(module))

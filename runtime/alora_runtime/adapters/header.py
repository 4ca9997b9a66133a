"""An adapter's weights by their names and shapes, read without torch: what is wrong in them before they are loaded."""

from __future__ import annotations

from safetensors import SafetensorError, safe_open

from alora_runtime.adapters.config import WEIGHTS, AdapterConfig
from alora_runtime.errors import AdapterError
from alora_runtime.foreign import unreadable

PREFIX = "base_model.model."
"""What PEFT puts before the base's own module names."""


def check_weights(config: AdapterConfig) -> int:
    """How many modules the adapter changes. Raises AdapterError where its file can't be read, or a tensor is no LoRA
    weight, belongs to no target, has not the rank of its module, or lacks its other half."""
    path = config.folder / WEIGHTS
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error, AdapterError) from None
    modules = {_module(path, name) for name in shapes}
    for module in sorted(modules):
        if not config.targets_module(module):
            raise AdapterError(f"{path} has weights for {module!r}, which its config does not target")
        rank = config.rank_of(module)
        for side, axis in (("A", 0), ("B", 1)):
            shape = shapes.get(f"{PREFIX}{module}.lora_{side}.weight")
            if shape is None:
                raise AdapterError(f"{path} has no lora_{side} for {module!r}")
            if len(shape) != 2 or shape[axis] != rank:
                raise AdapterError(f"{path}: lora_{side} of {module!r} is {list(shape)}, and its rank is {rank}")
    if not modules:
        raise AdapterError(f"{path} holds no weights")
    return len(modules)


def _module(path: object, name: str) -> str:
    if not name.startswith(PREFIX) or not name.endswith((".lora_A.weight", ".lora_B.weight")):
        raise AdapterError(f"{path} has a tensor that is no LoRA weight: {name!r}")
    return name.removeprefix(PREFIX).rpartition(".lora_")[0]

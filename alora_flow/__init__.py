"""alora-flow: a declarative language for LLM flows with activated LoRA intrinsics.

The names below are looked up when first used, so that checking a file never pays for what running one needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alora_flow.errors import BadInput, FlowError, RunFailed
    from alora_flow.module import Flow, Module, Result, load
    from alora_flow.values.data import Distribution, Document
    from alora_flow.values.history import ChatTurn

__all__ = [
    "BadInput",
    "ChatTurn",
    "Distribution",
    "Document",
    "Flow",
    "FlowError",
    "Module",
    "Result",
    "RunFailed",
    "load",
]

_HOME = {
    "alora_flow.errors": ("BadInput", "FlowError", "RunFailed"),
    "alora_flow.module": ("Flow", "Module", "Result", "load"),
    "alora_flow.values.data": ("Distribution", "Document"),
    "alora_flow.values.history": ("ChatTurn",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'alora_flow' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__

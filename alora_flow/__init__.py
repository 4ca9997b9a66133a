"""alora-flow: a declarative language for LLM flows with activated LoRA intrinsics.

The names below are looked up when first used, so that checking a file never pays for what running one needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alora_flow.errors import BadInput, BadUsage, FlowError, ModuleClosed, RunFailed
    from alora_flow.execution.events import (
        CallCompleted,
        CallSubmitted,
        ModelAnswered,
        ModelCalled,
        ModelReturned,
        NodeEnded,
        NodeStarted,
        RunEnded,
        RunStarted,
        TextWritten,
    )
    from alora_flow.execution.runner import Result
    from alora_flow.execution.stream import Stream
    from alora_flow.flow import Flow
    from alora_flow.module import Module, load
    from alora_flow.values.data import Distribution, Document
    from alora_flow.values.history import ChatTurn

__all__ = [
    "BadInput",
    "BadUsage",
    "CallCompleted",
    "CallSubmitted",
    "ChatTurn",
    "Distribution",
    "Document",
    "Flow",
    "FlowError",
    "ModelAnswered",
    "ModelCalled",
    "ModelReturned",
    "Module",
    "ModuleClosed",
    "NodeEnded",
    "NodeStarted",
    "Result",
    "RunEnded",
    "RunFailed",
    "RunStarted",
    "Stream",
    "TextWritten",
    "load",
]

_HOME = {
    "alora_flow.errors": ("BadInput", "BadUsage", "FlowError", "ModuleClosed", "RunFailed"),
    "alora_flow.execution.events": (
        "CallCompleted",
        "CallSubmitted",
        "ModelAnswered",
        "ModelCalled",
        "ModelReturned",
        "NodeEnded",
        "NodeStarted",
        "RunEnded",
        "RunStarted",
        "TextWritten",
    ),
    "alora_flow.execution.runner": ("Result",),
    "alora_flow.execution.stream": ("Stream",),
    "alora_flow.flow": ("Flow",),
    "alora_flow.module": ("Module", "load"),
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

"""A torch inference engine in which every token of a sequence has its own adapter.

Nothing here imports torch: the names below are looked up when first used (PEP 562), so that a planner can read
requests and adapter configs without paying for it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alora_runtime.aio import AsyncEngine
    from alora_runtime.answer.constraints import Constraint
    from alora_runtime.engine import Engine
    from alora_runtime.requests import Completion, Delta, Request, Run, Suspended, TextTrigger, Trigger

# Before torch is imported, which reads it once: OpenMP threads that spin while they wait make every step up to 30 times
# slower as soon as anything else wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Weights are read from end to end in every step: in pages of 2 MiB, where the system has them, up to 40 % faster.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = [
    "AsyncEngine",
    "Completion",
    "Constraint",
    "Delta",
    "Engine",
    "Request",
    "Run",
    "Suspended",
    "TextTrigger",
    "Trigger",
]

_HOME = {
    "AsyncEngine": "aio",
    "Completion": "requests",
    "Constraint": "answer.constraints",
    "Delta": "requests",
    "Engine": "engine",
    "Request": "requests",
    "Run": "requests",
    "Suspended": "requests",
    "TextTrigger": "requests",
    "Trigger": "requests",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__

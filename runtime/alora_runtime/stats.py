"""What an engine counts."""

from __future__ import annotations

from dataclasses import dataclass

from alora_runtime.requests import Completion


@dataclass
class EngineStats:
    """Totals since the engine was loaded, in tokens unless said otherwise.

    recomputed: prompt and generated tokens computed once more after a preemption. preempted: how often. evicted: slots,
    with those that were retained, which `evicted_retained` counts.
    seconds: inside `step`.
    """

    requests: int = 0
    reused: int = 0
    prefilled: int = 0
    generated: int = 0
    forced: int = 0
    recomputed: int = 0
    preempted: int = 0
    evicted: int = 0
    evicted_retained: int = 0
    steps: int = 0
    rows: int = 0
    seconds: float = 0.0

    def count(self, completion: Completion) -> None:
        """A request is done."""
        self.requests += 1
        self.reused += completion.reused
        self.prefilled += completion.prefilled
        self.generated += completion.generated
        self.forced += completion.forced

"""A backend that is opened when it is first wanted: a flow that calls no model never loads one."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping

from alora_flow.backends.base import Abilities, Backend, ModelCall
from alora_runtime.requests import Completion


class Deferred:
    """Passes everything on. Before it is opened, it is a backend that nobody called yet."""

    def __init__(self, open_it: Callable[[], Backend]) -> None:
        self._open = open_it
        self._opening = threading.Lock()
        self._opened: Backend | None = None

    @property
    def opened(self) -> Backend:
        """What computes. Raises what opening it raises, each time anew."""
        with self._opening:
            self._opened = self._opened or self._open()
        return self._opened

    def release(self) -> None:
        """Let go of what was opened: its memory is free when nobody else has it. It would be opened anew."""
        if self._opened is not None:
            self._opened = None
            gc.collect()  # futures, and tracebacks from the import of torch, may hold it in circles

    @property
    def abilities(self) -> Abilities:
        return self.opened.abilities

    @property
    def cache_tokens(self) -> int:
        return self._opened.cache_tokens if self._opened else 0

    @property
    def busy(self) -> bool:
        return self._opened is not None and self._opened.busy

    def submit(self, call: ModelCall) -> int:
        return self.opened.submit(call)

    def step(self) -> list[tuple[int, Completion]]:
        return self.opened.step()

    def leave_alone(self, alone: bool) -> None:
        """As TorchEngine does, where the backend is unhurried."""
        self.opened.leave_alone(alone)  # type: ignore[attr-defined]

    def cancel(self, ticket: int) -> None:
        self.opened.cancel(ticket)

    def let_go(self, retained: Mapping[int, int]) -> None:
        """As TorchEngine does, where the backend retains anything."""
        self.opened.let_go(retained)  # type: ignore[attr-defined]

    def forget(self) -> None:
        if self._opened:
            self._opened.forget()

"""Who may use an engine: one call at a time, in the process that loaded it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from alora_runtime.errors import BusyError

P = ParamSpec("P")
R = TypeVar("R")


class Turnstile:
    """Held by the frame of the call that is under way.

    A lock that an exception kept from being released would be held for ever. A frame that runs no more holds nothing,
    wherever it was torn out. `telling`: the thread in which a listener is being told something.
    """

    def __init__(self) -> None:
        self.telling: int | None = None
        self._process = os.getpid()
        self._holder: dict[str, FrameType] = {}  # by "it": a dictionary's own methods can't be interrupted

    def take(self, frame: FrameType, by_listeners: bool) -> bool:
        """False for a listener's call inside another, where listeners may make it. Raises BusyError."""
        if os.getpid() != self._process:
            error = BusyError(
                f"the engine was loaded in process {self._process}, and this one is a fork of it, in which the threads "
                "that it computes with are missing: load an engine in each process, and start processes by spawn"
            )
            error.passing = False
            raise error
        held = self._holder.setdefault("it", frame)
        if held is frame:
            self.telling = None
            return True
        own = threading.get_ident()
        if by_listeners and self.telling == own:
            return False
        for thread, top in sys._current_frames().items():
            if _stands_on(top, held):
                raise BusyError(INSIDE if thread == own else ELSEWHERE)
        self._holder["it"] = frame
        return True

    def give(self) -> None:
        """The call is over."""
        self._holder.clear()


INSIDE = "a listener, or a constraint of one's own, may only submit and cancel while the engine is at work"
ELSEWHERE = "another thread uses the engine at this moment; AsyncEngine serves several tasks, a lock several threads"


class Exclusive(Protocol):
    """What has a turnstile, and can make good what a call that was torn has left."""

    _turnstile: Turnstile

    def _mend(self) -> None: ...


E = TypeVar("E", bound=Exclusive)


def exclusive(by_listeners: bool = False) -> Callable[[Callable[Concatenate[E, P], R]], Callable[Concatenate[E, P], R]]:
    """A method that has its object to itself. What an earlier one left torn is mended first.

    by_listeners: whether a listener may call it while it is told something. Raises BusyError.
    """

    def decorate(method: Callable[Concatenate[E, P], R]) -> Callable[Concatenate[E, P], R]:
        @wraps(method)
        def call(it: E, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if not it._turnstile.take(sys._getframe(), by_listeners):
                return method(it, *args, **kwargs)
            try:
                it._mend()
                return method(it, *args, **kwargs)
            finally:
                it._turnstile.give()

        return call

    return decorate


def _stands_on(frame: FrameType | None, held: FrameType) -> bool:
    while frame is not None:
        if frame is held:
            return True
        frame = frame.f_back
    return False

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


class Passage:
    """That of one call, held by its frame until it is over. A frame that runs no more holds nothing, wherever it was
    torn out; a lock that an exception kept from being released would be held for ever."""

    def __init__(self, frame: FrameType | None, thread: int) -> None:
        self.frame, self.thread = frame, thread
        self._next: dict[str, Passage] = {}  # of one: a dictionary's own methods can't be interrupted

    @property
    def over(self) -> bool:
        """Whether the call is not under way any more. A frame says so itself: to walk through those of another thread
        while it runs may crash Python."""
        frame = self.frame
        if frame is not None:
            try:
                frame.clear()
            except RuntimeError:  # it is executing
                return False
        return True

    def followed(self, passage: Passage) -> Passage:
        """The one that comes after this, which is `passage` where there is none yet. So of two threads that both find
        this one over, one comes next, whichever of them is slow."""
        return self._next.setdefault("it", passage)


class Turnstile:
    """Who has an engine, and who had it last. `telling`: the thread in which a listener is being told something."""

    def __init__(self) -> None:
        self.telling: int | None = None
        self._process = os.getpid()
        self._last = Passage(None, 0)

    def take(self, frame: FrameType, by_listeners: bool) -> bool:
        """False for a listener's call inside another, where listeners may make it. Raises BusyError."""
        if os.getpid() != self._process:
            error = BusyError(
                f"the engine was loaded in process {self._process}, and this one is a fork of it, in which the threads "
                "that it computes with are missing: load an engine in each process, and start processes by spawn"
            )
            error.passing = False
            raise error
        own = threading.get_ident()
        mine, passage = Passage(frame, own), self._last
        while passage is not mine:
            if not passage.over:
                inside = passage.thread == own
                if inside and by_listeners and self.telling == own:
                    return False
                raise BusyError(INSIDE if inside else ELSEWHERE)
            passage = passage.followed(mine)
        self._last, self.telling = mine, None
        return True

    def give(self) -> None:
        """The call is over."""
        self._last.frame = None


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

"""Threads beside those of the callers: one for each call of a tool, and one event loop for async tools."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_background(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call in a daemon thread, so that what never comes back can't keep the process alive. It can't be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def call() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # whatever it is: it is reported, not ours to handle
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


TOOL_THREAD = "alora-flow tools"

_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}
"""By process: a fork has none of its parent's threads."""
_MAKING = threading.Lock()


def tool_loop() -> asyncio.AbstractEventLoop:
    """The event loop of async tools that no caller brings one for: all of them share it, and what they keep open."""
    with _MAKING:
        process = os.getpid()
        if process not in _LOOPS:
            _LOOPS[process] = asyncio.new_event_loop()
            threading.Thread(target=_LOOPS[process].run_forever, name=TOOL_THREAD, daemon=True).start()
        return _LOOPS[process]


def in_tool_loop() -> bool:
    """Is this the thread in which all async tools run?"""
    return threading.current_thread().name == TOOL_THREAD

"""A run as the sequence of what happens in it, for threads and for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from alora_flow.execution.background import in_background
from alora_flow.execution.events import Event, Listener, TextListener, TextWritten
from alora_flow.execution.runner import Result, Running

T = TypeVar("T")

Begin = Callable[[Listener, TextListener | None, asyncio.AbstractEventLoop | None], Running]
"""Makes a run that tells these listeners, with async tools in that loop; it is not performed yet."""

Item: TypeAlias = Event | TextWritten | Result[T]


class Stream(Generic[T]):
    """Every event of a run as it happens, the text of answers as it grows, and the `Result` last: for `async for`, and
    for `for` where no event loop runs.

    A run that fails raises its error after `RunEnded`. To leave the loop is to cancel the run. Each loop over a stream
    is a run of its own.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Item[T]]:
        told: SimpleQueue[Any] = SimpleQueue()
        running = self._begin(told.put, told.put, None)
        running.run.over.add_done_callback(lambda _: told.put(None))
        running.post()
        try:
            while (event := told.get()) is not None:
                yield event
            yield running.result
        finally:
            running.cancel()

    async def __aiter__(self) -> AsyncIterator[Item[T]]:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Any] = asyncio.Queue()

        def tell(event: Any) -> None:
            loop.call_soon_threadsafe(told.put_nowait, event)

        running = await begun(lambda: self._begin(tell, tell, loop))
        running.run.over.add_done_callback(lambda _: _quietly(tell, None))
        running.post()
        try:
            while (event := await told.get()) is not None:
                yield event
            yield running.result
        finally:
            running.cancel()


async def begun(begin: Callable[[], Running]) -> Running:
    """What may load a model, in a thread of its own, with the caller's context variables."""
    return await asyncio.wrap_future(in_background(copy_context().run, begin))


async def finished(running: Running) -> Result[Any]:
    """Its result. A task that is cancelled meanwhile cancels the run."""
    running.post()
    try:
        await asyncio.wrap_future(running.run.over)
    finally:
        running.cancel()
    return running.result


def _quietly(tell: Callable[[Any], None], event: Any) -> None:
    """To a loop that is closed, nothing can be told."""
    with suppress(RuntimeError):
        tell(event)

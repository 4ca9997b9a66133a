"""The engine for asyncio: any number of tasks share one engine, which steps in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import sleep
from types import TracebackType
from typing import TypeVar

from alora_runtime.engine import Engine
from alora_runtime.errors import BusyError
from alora_runtime.requests import Completion, Delta, Request
from alora_runtime.validation import check_pin

T = TypeVar("T")

Order = Callable[[BaseException | None], None]
"""What the engine's thread does between two steps; with an error where it will do nothing any more."""


class AsyncEngine:
    """`async with AsyncEngine(engine) as served: await served.complete(request)`.

    Who else uses the engine meanwhile keeps everybody waiting, and may be told BusyError. A task that is cancelled,
    and a stream that is left, cancel their request; what it computed stays in the cache. Whoever waits when it is
    closed, or asks afterwards, gets a RuntimeError. It may be entered again when it is closed.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._orders: deque[Order] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._listening: dict[int, Callable[[BaseException], None]] = {}  # by ticket: how to tell of a failed step
        self._thread: threading.Thread | None = None  # while it is open

    async def __aenter__(self) -> AsyncEngine:
        with self._wake:
            if self._thread is not None:
                raise RuntimeError("the engine is entered already: leave it first")
            self._closing = False
            self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
            self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._wake:
            thread, self._closing = self._thread, True
            self._wake.notify()
        if thread is not None:
            await asyncio.to_thread(thread.join)

    async def complete(self, request: Request) -> Completion:
        """The answer. Raises what `Engine.submit` raises, and the error of a request that failed on its way."""
        last: Completion | None = None
        async for delta in self.stream(request):
            last = delta.completion
        assert last is not None
        if last.error:
            raise last.error
        return last

    def release(self, pin: str) -> None:
        """As Engine.release, between two steps; requests made before it are older, those made after it younger."""
        check_pin(pin)
        self._order(lambda closed: None if closed else _patient(lambda: self.engine.release(pin)))

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answers in the order given, computed together."""
        return list(await asyncio.gather(*map(self.complete, requests)))

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The answer as it grows; the last delta has the completion. Raises what `Engine.submit` raises."""
        loop = asyncio.get_running_loop()
        deltas: asyncio.Queue[Delta | BaseException] = asyncio.Queue()
        heard = _threadsafe(loop, deltas.put_nowait)
        accepted: Future[int] = Future()
        self._order(lambda closed: self._submit(request, heard, accepted, closed))
        try:
            await asyncio.wrap_future(accepted)
            while True:
                delta = await deltas.get()
                if isinstance(delta, BaseException):
                    raise delta
                yield delta
                if delta.completion is not None:
                    return
        finally:
            self._order(lambda _: self._leave(accepted), quiet=True)

    # ------------------------------------------------- in the engine's thread

    def _submit(
        self,
        request: Request,
        heard: Callable[[Delta | BaseException], None],
        accepted: Future[int],
        closed: BaseException | None,
    ) -> None:
        if not accepted.set_running_or_notify_cancel():
            return
        try:
            if closed is not None:
                raise closed
            ticket = _patient(lambda: self.engine.submit(request, heard))
        except BaseException as error:
            accepted.set_exception(error)
        else:
            self._listening[ticket] = heard
            accepted.set_result(ticket)

    def _leave(self, accepted: Future[int]) -> None:
        if accepted.done() and not accepted.cancelled() and accepted.exception() is None:
            self._listening.pop(accepted.result(), None)
            _patient(lambda: self.engine.cancel(accepted.result()))

    def _fail(self, error: BaseException) -> None:
        """Nobody who waits may wait for ever."""
        listening, self._listening = self._listening, {}
        for tell in listening.values():
            tell(error)
        for ticket in listening:
            _patient(partial(self.engine.cancel, ticket))

    def _work(self) -> None:
        while not self._closing:
            with self._wake:
                self._wake.wait_for(lambda: self._orders or self.engine.busy or self._closing)
            self._obey(None)
            if self.engine.busy and not self._closing:
                try:
                    _patient(self.engine.step)
                except BaseException as error:
                    self._fail(error)
        closed = RuntimeError(CLOSED)
        with self._wake:  # whoever comes later finds no thread
            self._thread = None
        self._obey(closed)
        self._fail(closed)
        with suppress(Exception):  # nobody is there to be told
            _patient(self.engine.step)

    def _obey(self, closed: BaseException | None) -> None:
        while self._orders:
            self._orders.popleft()(closed)

    def _order(self, order: Order, quiet: bool = False) -> None:
        """quiet: whether there is nothing to do where the engine is closed. Raises RuntimeError."""
        with self._wake:
            if self._thread is not None:
                self._orders.append(order)
                self._wake.notify()
            elif not quiet:
                raise RuntimeError(CLOSED)


def _patient(call: Callable[[], T]) -> T:
    """What a call of the engine gives, once nobody else is at it. Raises BusyError where that will never be."""
    while True:
        try:
            return call()
        except BusyError as error:
            if not error.passing:
                raise
            sleep(PAUSE)


PAUSE = 0.001
"""Seconds between two tries while another thread uses the engine."""

CLOSED = "the engine was closed, or never entered: `async with AsyncEngine(engine) as served`"


def _threadsafe(
    loop: asyncio.AbstractEventLoop, put: Callable[[Delta | BaseException], None]
) -> Callable[[Delta | BaseException], None]:
    def call(delta: Delta | BaseException) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            loop.call_soon_threadsafe(put, delta)

    return call

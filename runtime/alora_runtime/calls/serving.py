"""Engines whose generations may call: step by step, and with asyncio."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any

from alora_runtime.aio import AsyncEngine
from alora_runtime.calls.checking import check_caller
from alora_runtime.calls.records import Called, Caller, Exchange, Hearer, Return
from alora_runtime.calls.stack import CallStack
from alora_runtime.engine import Engine
from alora_runtime.errors import CallError
from alora_runtime.requests import Completion


class Switchboard:
    """`submit`, `step`, `cancel` and `generate` as the engine has them, for callers. The engine can have requests of
    others: what is done of these comes out of `step` as well.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._under_way: dict[int, tuple[int, CallStack]] = {}  # by the ticket of its request: its own and the caller
        self._arrived: deque[tuple[int, Completion]] = deque()
        self._done: list[tuple[int, Completion | Exchange]] = []

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do or to return."""
        return bool(self.engine.busy or self._under_way or self._arrived or self._done)

    def submit(self, caller: Caller, hearer: Hearer | None = None) -> int:
        """Queue a caller. Raises RequestError or CapacityError before anything is touched."""
        stack = make_stack(self.engine, caller, hearer)
        ticket = self._send(stack)
        self._under_way[ticket] = ticket, stack
        return ticket

    def cancel(self, ticket: int) -> None:
        """Stop a caller and whoever it has called."""
        for request, (own, _) in self._under_way.items():
            if own == ticket:
                self.engine.cancel(request)

    def step(self, alone: bool = False) -> list[tuple[int, Completion | Exchange]]:
        """One step of the engine; callers that are done, and requests of others, by ticket. alone: as of the engine."""
        self._arrived.extend(self.engine.step(alone))
        while self._arrived:
            self._receive(*self._arrived.popleft())
        done, self._done = self._done, []
        return done

    def generate(self, callers: Sequence[Caller]) -> list[Exchange]:
        """Serve callers together, each going on as soon as it can; in the order given. Raises what they end with.

        What else is raised cancels all of them: `step` still returns them.
        """
        alone, tickets = not self.busy, list[int]()
        results: dict[int, Any] = {}
        others: list[tuple[int, Completion | Exchange]] = []
        try:
            for caller in callers:
                tickets.append(self.submit(caller))
            while not results.keys() >= set(tickets):
                for ticket, result in self.step(alone):
                    if ticket in tickets:
                        results[ticket] = result
                    else:
                        others.append((ticket, result))
        except BaseException:
            for ticket in tickets:
                self.cancel(ticket)
            raise
        finally:
            self._done += others
        for ticket in tickets:
            if results[ticket].completion.error:
                raise results[ticket].completion.error
        return [results[ticket] for ticket in tickets]

    def _send(self, stack: CallStack) -> int:
        assert stack.request is not None
        return self.engine.submit(stack.request, stack.hear if stack.listens else None)

    def _receive(self, ticket: int, completion: Completion) -> None:
        if ticket not in self._under_way:
            self._done.append((ticket, completion))
            return
        own, stack = self._under_way.pop(ticket)
        try:
            stack.receive(completion)
            while stack.call is not None:
                stack.decide(checked_return(stack.call, stack.caller.handler(stack.call)))
            if stack.request is not None:
                self._under_way[self._send(stack)] = own, stack
        except BaseException as error:  # of a handler or a hearer, or there is no room for what is kept
            stack.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if stack.exchange is not None:
                self._done.append((own, stack.exchange))


async def complete(served: AsyncEngine, caller: Caller, hearer: Hearer | None = None) -> Exchange:
    """What comes of a caller; its handler may be waited for. Cancelling the task cancels whoever writes.
    Raises RequestError or CapacityError, and what the exchange ends with."""
    stack = make_stack(served.engine, caller, hearer)
    while stack.exchange is None:
        try:
            if stack.call is not None:
                back = caller.handler(stack.call)
                stack.decide(checked_return(stack.call, await back if isawaitable(back) else back))
            elif stack.request is not None:
                async for delta in served.stream(stack.request):
                    stack.hear(delta)
                    if delta.completion is not None:
                        stack.receive(delta.completion)
        except Exception as error:
            stack.fail(error)
    if stack.exchange.completion.error:
        raise stack.exchange.completion.error
    return stack.exchange


def make_stack(engine: Engine, caller: Caller, hearer: Hearer | None) -> CallStack:
    """Raises RequestError where the caller is wrong in itself."""
    check_caller(caller, engine.adapters, engine.model.vocabulary)
    return CallStack(caller, engine.model.source.eos, hearer)


def checked_return(call: Called, back: object) -> Return:
    """Raises CallError where a handler says something else."""
    if back in ("keep", "drop", "stop"):
        return back
    raise CallError(f"the handler of a call of {call.name!r} must return keep, drop or stop, not {back!r}")

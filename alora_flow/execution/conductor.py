"""Several runs on one backend: every step of it serves the calls of all of them.

The thread that wants a run leads: it starts nodes and steps the backend for its own run and for those of the threads
that wait behind it. When its own are ended, the next one leads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial

from alora_flow.backends.base import Backend
from alora_flow.execution.hints import Hints
from alora_flow.execution.run import Crowd, FlowRun, Shared
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.prompts import Setup

AT_ONCE = 8
"""Runs under way; more only wait. Each holds its threads in the cache, and eight fill the engine's batches."""

TOOL_WAIT = 0.1
"""Seconds between two looks at budgets and newcomers while nothing but tools is under way."""

INCOMPLETE = ("cancelled", "timeout", "error")
"""Calls that ended so have left in the cache what no ledger knows."""


class Conductor:
    """Owns a backend's cache: `ledger` says what is in it."""

    def __init__(self, backend: Backend, setup: Setup) -> None:
        self.shared = Shared(backend, Ledger(), Hints(setup), Crowd())
        self._turn = threading.Condition()
        self._leader: int | None = None  # the thread that leads
        self._waiting: deque[FlowRun] = deque()
        self._active: list[FlowRun] = []
        self._calls: dict[int, FlowRun] = {}
        self._spoilt = False  # the ledger is not sure any more

    @property
    def backend(self) -> Backend:
        return self.shared.backend

    @property
    def ledger(self) -> Ledger:
        return self.shared.ledger

    def perform(self, runs: Sequence[FlowRun]) -> None:
        """Return when all are ended, each with its result or its error."""
        with self._turn:
            if self._leader == threading.get_ident():
                raise RuntimeError("a listener can't run flows on the backend that it watches")
            self._waiting.extend(runs)
        while self._leads(runs):
            try:
                left = deque(runs)
                while left:
                    if left[0].ended:
                        left.popleft()
                    else:
                        self._advance()
            except BaseException as error:
                self._give_up(error)
                raise
            finally:
                with self._turn:
                    self._leader = None
                    self._turn.notify_all()

    def forget(self) -> None:
        """Empty the cache. Only while no run is under way."""
        self.backend.forget()
        self.ledger.clear()
        self._spoilt = False

    def _leads(self, runs: Sequence[FlowRun]) -> bool:
        """Wait until these are ended (False), or nobody leads and so this thread does."""

        def ended() -> bool:
            return all(run.ended for run in runs)

        with self._turn:
            self._turn.wait_for(lambda: ended() or self._leader is None)
            if not ended():
                self._leader = threading.get_ident()
        return self._leader == threading.get_ident()

    def _advance(self) -> None:
        """Let every run go on as far as it can, and the backend by a step."""
        while self._waiting and len(self._active) < AT_ONCE and self._has_room():
            self._active.append(self._waiting.popleft())
            self._try(self._active[-1], self._active[-1].begin)
        for run in list(self._active):
            self._try(run, partial(self._start, run))
        for ticket, completion in self.backend.step() if self.backend.busy else ():
            self._spoilt |= completion.finish in INCOMPLETE
            # Nobody's, where its run has failed by another call that ended in the same step.
            if (owner := self._calls.pop(ticket, None)) in self._active:
                self._try(owner, partial(owner.take, ticket, completion))
        if not self.backend.busy:
            self._wait_for_tools()
        for run in list(self._active):
            self._try(run, partial(self._gather, run))

    def _start(self, run: FlowRun) -> None:
        try:
            run.start()
        finally:  # also of a run that fails here: its calls are under way
            self._calls.update(dict.fromkeys(run.calls, run))

    def _gather(self, run: FlowRun) -> None:
        run.gather()
        if not run.busy:
            run.conclude()
            self._leave(run)

    def _wait_for_tools(self) -> None:
        """Where no run can go on without one."""
        tools = [future for run in self._active for future in run.tools]
        if tools and not any(run.ready for run in self._active):
            wait(tools, TOOL_WAIT, FIRST_COMPLETED)

    def _try(self, run: FlowRun, work: Callable[[], None]) -> None:
        """An error ends its own run and nobody else's."""
        if run in self._active:
            try:
                work()
            except Exception as error:
                run.fail(error)
                self._leave(run)

    def _leave(self, run: FlowRun) -> None:
        """A run is ended; a failed one takes back its calls, which the next step tells of."""
        self._active.remove(run)
        self.shared.hints.leave(id(run))
        run.withdraw()
        if not self._active:
            self._settle()
        with self._turn:
            self._turn.notify_all()

    def _settle(self) -> None:
        """Nobody is left: see the last calls out."""
        while self.backend.busy:
            self.backend.step()
            self._spoilt = True
        self._calls.clear()

    def _has_room(self) -> bool:
        """Is the cache sure to hold what the ledger says? It is emptied before it would have to forget by itself."""
        if not self._spoilt and self.ledger.size <= self.backend.cache_tokens // 2:
            return True
        if not self._active:
            self.forget()
        return not self._active

    def _give_up(self, error: BaseException) -> None:
        """The backend or the leader's thread was interrupted: no run can go on."""
        for run in [*self._active, *self._waiting]:
            if not run.ended:
                run.fail(error)
            self.shared.hints.leave(id(run))
            run.withdraw()
        self._active.clear()
        self._waiting.clear()
        self._spoilt = True
        self._settle()

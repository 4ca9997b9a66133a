"""Several runs on one backend: every step of it serves the calls of all of them.

The thread that wants a run leads: it starts nodes and steps the backend for its own run and for those of the threads
that wait behind it. When its own are ended, the next one leads. What others want done between two steps (a run that is
cancelled, say) they leave as an order to whoever leads.
"""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TypeVar

from alora_flow.backends.base import Backend
from alora_flow.errors import ModuleClosed, RunFailed
from alora_flow.execution.bounds import Crowd
from alora_flow.execution.events import INCOMPLETE
from alora_flow.execution.hints import Hints
from alora_flow.execution.run import FlowRun, Shared
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.setup import Setup
from alora_runtime.requests import Completion

AT_ONCE = 8
"""Runs at work; more only wait. Each holds its threads in the cache, and eight fill the engine's batches."""

UNDER_WAY = 64
"""Runs that have begun and not ended, those that wait for nothing but tools among them: so many calls of a tool may be
made at once. Runs that tools wait for are begun in any case, else all might wait for each other.
"""

TOOL_WAIT = 0.1
"""Seconds between two looks at budgets and newcomers while nothing but tools is under way."""

T = TypeVar("T")


class Conductor:
    """Owns a backend's cache: `ledger` says what is in it."""

    def __init__(self, backend: Backend, setup: Setup) -> None:
        ledger = Ledger()
        self.shared = Shared(backend, ledger, Hints(setup), Crowd(backend, ledger))
        self._turn = threading.Condition()
        self._leader: int | None = None  # the thread that leads
        self._waiting: deque[FlowRun] = deque()
        self._active: list[FlowRun] = []
        self._calls: dict[int, FlowRun] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._spoilt = False  # the ledger is not sure any more
        self._retired = False

    @property
    def backend(self) -> Backend:
        return self.shared.backend

    @property
    def ledger(self) -> Ledger:
        return self.shared.ledger

    def perform(self, runs: Sequence[FlowRun]) -> None:
        """Return when all are ended, each with its result or its error."""
        self._refuse_listeners()
        self.enqueue(runs)
        self.see_through(runs, patient=True)

    def enqueue(self, runs: Sequence[FlowRun]) -> None:
        """They are begun once somebody leads: whoever does so must call `see_through`. Raises ModuleClosed."""
        with self._turn:
            if self._retired:
                raise ModuleClosed("the module was closed before the run began", "close it when its last run has ended")
            self._waiting.extendleft(run for run in reversed(runs) if run.for_a_tool)
            self._waiting.extend(run for run in runs if not run.for_a_tool)

    def see_through(self, runs: Sequence[FlowRun], patient: bool = False) -> None:
        """Return when these, which are enqueued, are ended. Whoever is interrupted while he waits takes them back.
        patient: the calling thread does nothing but wait for them, so that none of them is cancelled by it."""
        left = deque(runs)

        def ended() -> bool:
            while left and left[0].ended:
                left.popleft()
            return not left

        try:
            self._lead(ended, runs, patient)
        except BaseException:
            for run in left:
                self.cancel(run)
            raise

    def cancel(self, run: FlowRun) -> None:
        """End a run before the next step, and take its calls back; one that is ended is left. From any thread."""
        self._orders.append(partial(self._drop, run))

    def cancel_all(self) -> None:
        """End every run before the next step."""
        with self._turn:
            for run in [*self._active, *self._waiting]:
                self.cancel(run)

    def between_steps(self, work: Callable[[], T]) -> T:
        """The result of work beside which nobody uses the backend."""
        self._refuse_listeners()
        done: Future[T] = Future()
        self._orders.append(partial(_fulfil, done, work))
        self._lead(done.done)
        return done.result()

    def forget(self) -> None:
        """Empty the cache, once no run is under way."""
        self._refuse_listeners()
        with self._turn:
            self._turn.wait_for(lambda: self._leader is None and not self._active)
            self._empty()

    def retire(self) -> None:
        """Take no runs any more, and release the backend when the last one has ended."""
        with self._turn:
            self._retired = True
            self._release()

    def _release(self) -> None:
        if self._retired and self._leader is None and not self._active and not self._waiting:
            release: Callable[[], None] | None = getattr(self.backend, "release", None)
            if release is not None:
                release()

    def _refuse_listeners(self) -> None:
        if self._leader == threading.get_ident():
            raise RuntimeError("a listener can't run flows on the backend that it watches")

    def _lead(self, done: Callable[[], bool], runs: Sequence[FlowRun] = (), patient: bool = False) -> None:
        """Wait until it is done, and lead where nobody else does. Wherever something is raised, nobody leads then."""
        try:
            while self._leads(done):
                while not done():
                    self._advance(patient)
                self._step_down()
        except BaseException as error:
            if self._leader == threading.get_ident():
                try:
                    self._give_up(error, runs)
                finally:
                    self._step_down()
            raise

    def _step_down(self) -> None:
        with self._turn:
            self._leader = None
            self._release()
            self._turn.notify_all()

    def _leads(self, done: Callable[[], bool]) -> bool:
        """Wait until it is done (False), or nobody leads and so this thread does."""
        with self._turn:
            self._turn.wait_for(lambda: done() or self._leader is None)
            if not done():
                self._leader = threading.get_ident()
        return self._leader == threading.get_ident()

    def _advance(self, patient: bool) -> None:
        """Let every run go on as far as it can, and the backend by a step."""
        self._obey()
        while self._waiting and self._may_begin(self._waiting[0]):
            self._active.append(self._waiting.popleft())
            self._try(self._active[-1], self._active[-1].begin)
        for run in list(self._active):
            self._try(run, partial(self._start, run))
        self._settle_needs()
        back = self._step(patient) if self.backend.busy else ()
        for run in list(self._active):
            self._try(run, run.tell_text)
        for ticket, completion in back:
            if completion.finish in INCOMPLETE:
                self._doubt()
            # Nobody's, where its run has failed by another call that ended in the same step.
            if (owner := self._calls.pop(ticket, None)) in self._active:
                self._try(owner, partial(owner.take, ticket, completion))
        if not self.backend.busy:
            self._wait_for_tools()
        for run in list(self._active):
            self._try(run, partial(self._gather, run))

    def _step(self, patient: bool) -> Sequence[tuple[int, Completion]]:
        """A step of the backend. A lone run's long prompt is not cut for the sake of others."""
        if self.backend.abilities.unhurried:
            alone = patient and len(self._active) == 1 and not self._waiting and not self._active[0].tools
            self.backend.leave_alone(alone)  # type: ignore[attr-defined]
        return self.backend.step()

    def _settle_needs(self) -> None:
        """Tell the backend what nobody goes on from any more. Where calls under way need more than the whole cache,
        some of it may go before they find it."""
        if self.shared.crowd.overcommitted:
            self.shared.crowd.overcommitted = False
            for run in self._active:
                run.doubt()
        if self.ledger.let_go:
            let_go, self.ledger.let_go = self.ledger.let_go, {}
            if self.backend.abilities.retains:
                self.backend.let_go(let_go)  # type: ignore[attr-defined]

    def _obey(self) -> None:
        """Do what others want done between two steps."""
        if self._orders:
            while self._orders:
                self._orders.popleft()()
            with self._turn:
                self._turn.notify_all()

    def _drop(self, run: FlowRun) -> None:
        if run in self._active:
            run.fail(CancelledError("cancelled"))
            self._leave(run)
        elif not run.ended:
            with self._turn:  # nobody adds to it meanwhile
                self._waiting.remove(run)
            run.fail(CancelledError("cancelled"))

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
                self._spoilt |= run.ended  # it was leaving
                run.fail(error)
                self._leave(run)

    def _leave(self, run: FlowRun) -> None:
        """A run is ended; a failed one takes back its calls, which the next step tells of. What fails here is told as
        the run's error, and then it leaves once more."""
        self.shared.hints.leave(id(run))
        if run.calls:
            self._doubt()
        run.withdraw()
        if run in self._active:
            self._active.remove(run)
        if not self._active:
            self._settle()
        with self._turn:
            self._turn.notify_all()

    def _doubt(self) -> None:
        """A call is broken off, and leaves in the cache what the ledger does not know."""
        self._spoilt = self.shared.crowd.broken_off = True
        for run in self._active:
            run.doubt()

    def _settle(self) -> None:
        """Nobody is left: see the last calls out."""
        while self.backend.busy:
            self.backend.step()
            self._doubt()
        self._calls.clear()

    def _may_begin(self, run: FlowRun) -> bool:
        begun = run.for_a_tool or len(self._active) < UNDER_WAY
        return begun and self._at_work() < AT_ONCE and self._has_room()

    def _has_room(self) -> bool:
        """Is the cache sure to hold what the ledger says? It is emptied before it would have to forget by itself, and
        while nobody reads it: runs that wait for tools compute anew what they go on from."""
        if not self._spoilt and self.ledger.size <= self.backend.cache_tokens // 2:
            return True
        if self._at_work():
            return False
        self._empty()
        return True

    def _at_work(self) -> int:
        """How many runs have a call under way, or can go on at once."""
        return sum(bool(run.calls) or run.ready for run in self._active)

    def _empty(self) -> None:
        self.backend.forget()
        self.ledger.clear()
        self.shared.crowd.clear()
        for run in self._active:
            run.lose()
        self._spoilt = False

    def _give_up(self, error: BaseException, own: Sequence[FlowRun]) -> None:
        """The backend failed, or the thread that leads was interrupted: no run can go on. An interrupt is meant for
        that thread's `own` runs, and is not raised where others wait."""
        others = error if isinstance(error, Exception) else RunFailed(BROKEN_OFF, "run it again")
        with self._turn:
            theirs = [*self._active, *self._waiting]
        for run in theirs:
            if not run.ended:
                run.fail(error if run in own else others)
            self.shared.hints.leave(id(run))
            run.withdraw()
        self._active.clear()
        self._waiting.clear()
        self._doubt()
        self._settle()


BROKEN_OFF = "the run was broken off: the thread that led it was interrupted"


def _fulfil(done: Future[T], work: Callable[[], T]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)

"""The engine: requests in, completions out. `step` reads as it works: plan, compute, commit, decide.

**A call that is torn.** Memory may run out and Ctrl-C may come at any line. What fails inside the model leaves the step
unmade. What fails elsewhere may leave slots, runs and rows in disorder: `_torn` stands from the first change to the
last, and the next call begins on an empty cache all that is under way, in its order, with the tokens that were already
chosen (`_mend`). So every answer is what it would have been; only what was pinned has to be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from math import inf, isfinite
from pathlib import Path
from threading import get_ident
from time import monotonic, perf_counter
from types import MappingProxyType

import torch
from torch import Tensor

from alora_runtime.adapters.config import AdapterConfig
from alora_runtime.adapters.library import Library
from alora_runtime.admission import Admission
from alora_runtime.compute.forks import check_fork
from alora_runtime.compute.model import LanguageModel, load_model
from alora_runtime.errors import CapacityError, ModelError, RequestError, shown
from alora_runtime.gguf.opening import Progress, model_folder
from alora_runtime.inspection import Inspection, inspection
from alora_runtime.matching import MatcherInterrupt
from alora_runtime.requests import Completion, Finish, Listener, Request, Run, listed
from alora_runtime.schedule.pace import Pace
from alora_runtime.schedule.sequence import Live, Row
from alora_runtime.settings import (
    CACHE_TOKENS,
    check_adapter,
    check_arguments,
    flag,
    optional,
    seconds,
    slots_of,
    whole,
)
from alora_runtime.stats import EngineStats
from alora_runtime.task import Task
from alora_runtime.turnstile import Turnstile, exclusive
from alora_runtime.validation import (
    check_pin,
    integer,
    lengths_of,
)
from alora_runtime.workspace import Workspace

NOT_FINITE = "the model's output is not a finite number"

STEP_SECONDS = 0.3
"""What a step may take, where the caller says nothing else."""

SPARE = 64
"""Time limits of requests that are done which may always be there, so that they are not looked through too often."""

GUESS = 2e10
"""Multiplications and additions a second, until the machine's own are measured."""


class Engine:
    """One model, its adapters and one arena of KV, shared by everything that is submitted."""

    def __init__(
        self,
        model: LanguageModel,
        cache_tokens: int = CACHE_TOKENS,
        reuse: bool = True,
        chunk_tokens: int = 2048,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        if not isinstance(model, LanguageModel):
            raise ModelError(
                f"an engine is made with a LanguageModel, not with {shown(model)}; Engine.load takes a folder"
            )
        check_fork()
        cache_tokens, chunk_tokens = whole("cache_tokens", cache_tokens), whole("chunk_tokens", chunk_tokens)
        step_seconds = seconds("step_seconds", step_seconds)
        if cache_tokens < 1 or chunk_tokens < 1:
            raise CapacityError(f"cache_tokens ({cache_tokens}) and chunk_tokens ({chunk_tokens}) must be at least 1")
        if not step_seconds > 0:
            raise CapacityError(f"step_seconds must be more than 0, not {step_seconds}")
        self.model = model
        self.cache_tokens = cache_tokens
        self._turnstile = Turnstile()
        pace = Pace(step_seconds, 2 * model.network.parameters / GUESS, model.double)
        self._work = Workspace(model, cache_tokens, flag("reuse", reuse), chunk_tokens, pace)
        self._library = Library(model.network, model.tokenizer)
        self._admission = Admission(model, self._library, cache_tokens)
        self._tasks: dict[int, Task] = {}
        self._done: list[tuple[int, Completion]] = []
        self._deadlines: list[tuple[float, int]] = []  # heap of (moment, ticket)
        self._tickets = 0
        self._stats = EngineStats()
        self._torn = False
        self._raised: BaseException | None = None  # by a listener, and not for its own request alone

    @classmethod
    def load(
        cls,
        model_dir: str | Path,
        adapters: Mapping[str, str | Path] | None = None,
        dtype: str = "float32",
        cache_tokens: int | None = None,
        *,
        reuse: bool = True,
        chunk_tokens: int = 2048,
        step_seconds: float = STEP_SECONDS,
        attention: str = "fast",
        cache_bytes: int | None = None,
        device: str = "cpu",
        processor: str | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """Load a model and its adapters from local folders. A GGUF file is converted to one first, once: `progress` is
        told of how many bytes how many are written.

        dtype: "float32" (exact), "bfloat16" (what else is in the batch or the cache may round an answer another way)
        or "auto" (bfloat16 where the processor is fast at it). cache_tokens: size of the KV arena; cache_bytes: what
        it may take at most; of both the smaller. reuse: share KV between sequences; off, every request computes all
        that it needs. chunk_tokens: most prompt tokens in one step; step_seconds: what a step may take, as far as
        prompts decide it: so long a new request waits, and so late a time-out is noticed. attention: "fast", or
        "reference" (slow and plain). device: by torch's name; processor: "cpu", fast on one, or "plain", which runs on
        any device; by default the one that fits the device.
        Raises ModelError, AdapterError, CapacityError for sizes without sense, and BusyError in a fork of a process
        that has loaded a model, unless torch has one thread.
        """
        names = {"dtype": dtype, "attention": attention, "device": device}
        chosen = {} if processor is None else {"processor": processor}
        check_arguments(model_dir, adapters, names | chosen, progress)
        cache_tokens, cache_bytes = optional("cache_tokens", cache_tokens), optional("cache_bytes", cache_bytes)
        for name, folder in (adapters or {}).items():
            check_adapter(name, folder)
        check_fork()
        model = load_model(model_folder(model_dir, progress), dtype, attention, device, processor)
        slots = slots_of(model.slot_bytes, cache_tokens, cache_bytes)
        engine = cls(model, slots, reuse, chunk_tokens, step_seconds)
        for name, folder in (adapters or {}).items():
            engine.add_adapter(name, folder)
        return engine

    @exclusive()
    def add_adapter(self, name: str, folder: str | Path) -> AdapterConfig:
        """Load an adapter under a name; a name may be given again, and then means the new content from now on."""
        check_adapter(name, folder)
        config = self._library.add(name, folder)
        self._unload()
        return config

    @exclusive()
    def remove_adapter(self, name: str) -> None:
        """Forget a name. Requests that were submitted under it go on; the weights go with the last of them."""
        self._library.remove(name)
        self._unload()

    def _unload(self) -> None:
        if self._library.unnamed:
            self._library.unload(number for task in self._tasks.values() for number, _ in task.live.runs)

    @property
    def adapters(self) -> Mapping[str, AdapterConfig]:
        """Loaded adapters by name."""
        return MappingProxyType(self._library.configs)

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do or to return."""
        return bool(self._tasks or self._done)

    @property
    def stats(self) -> EngineStats:
        """A snapshot of the totals."""
        scheduler = self._work.scheduler
        return replace(
            self._stats,
            rows=self._work.computed,
            recomputed=scheduler.recomputed,
            preempted=scheduler.preempted,
            evicted=scheduler.tree.evicted,
            evicted_retained=scheduler.tree.evicted_retained,
        )

    def submit(self, request: Request, listener: Listener | None = None, retain: bool = False) -> int:
        """Queue a request; the ticket names it in `step` and `cancel`, and the listener hears of each token as `step`
        makes it. retain: once it is done, what it leaves in the cache is evicted last, until `let_go`. Raises
        RequestError or CapacityError before anything is touched."""
        mine: list[Task] = []
        try:
            return self._accept(request, listener, mine, retain)
        except BaseException:
            # Nobody has the ticket of a request that was taken all the same.
            for task in mine:
                if self._tasks.pop(task.live.ticket, None) is not None:
                    self._torn = True
            raise

    @exclusive(by_listeners=True)
    def _accept(self, request: Request, listener: Listener | None, mine: list[Task], retain: bool) -> int:
        return self._add(request, listener, mine, retain)

    def _add(self, request: Request, listener: Listener | None, mine: list[Task], retain: bool = False) -> int:
        """Queue a request; `mine` has it before it is among those under way."""
        ticket = self._tickets
        task = self._admission.task(ticket, request, listener, retain)
        self._work.scheduler.check_pins(task.live)
        torn, self._torn = self._torn, True
        if task.request.timeout is not None and task.request.timeout < inf:
            self._forget_deadlines()
            heappush(self._deadlines, (monotonic() + task.request.timeout, ticket))
        self._tickets += 1
        self._work.scheduler.add(task.live)
        mine.append(task)
        self._tasks[ticket] = task
        self._torn = torn
        return ticket

    @exclusive(by_listeners=True)
    def cancel(self, ticket: int) -> None:
        """Stop a request; the next step returns what it had, finished as "cancelled". A ticket already done is left.
        Raises RequestError for what is no ticket."""
        task = self._tasks.get(integer("a ticket", ticket))
        if task is not None and task.ending is None:
            torn, self._torn = self._torn, True
            self._end(task, "cancelled")
            self._torn = torn
            if not torn:
                self._raise()

    @exclusive()
    def forget(self) -> None:
        """Empty the prefix cache of all that no live request uses and that is not pinned."""
        self._torn = True
        self._work.scheduler.retention.clear()
        self._work.scheduler.tree.make_room(self._work.scheduler.tree.available)
        self._torn = False

    @exclusive()
    def release(self, pin: str) -> None:
        """Let go of what was pinned under this name, and will be by requests under way; it is cache then as any other.
        A name that nothing is pinned under is left. Raises RequestError for what is no name."""
        check_pin(pin)
        self._torn = True
        self._work.scheduler.release(pin)
        self._torn = False

    @exclusive()
    def let_go(self, retained: Mapping[int, int]) -> None:
        """Retain less: by ticket, the first so many tokens of what a request left; a ticket of which nothing is
        retained is left. Raises RequestError for what is no number of tokens."""
        lengths = lengths_of(retained)
        self._torn = True
        for ticket, length in lengths.items():
            self._work.scheduler.retention.shorten(ticket, length)
        self._torn = False

    def step(self, alone: bool = False) -> list[tuple[int, Completion]]:
        """Compute one batch; returns the requests finished since the last step, by ticket. alone: nobody else is kept
        waiting by a step that takes its time, so that a long prompt is not cut for their sake.

        What is raised here, the model's error or an interrupt, leaves every request and every answer as if the step had
        not begun: it may be tried again. Raises BusyError where another call is under way.
        """
        self._one_step(hurried=not alone)
        # One line, because nothing may come between what is taken and its way to the caller.
        return ([*self._done], self._done.clear())[0]  # type: ignore[func-returns-value]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Serve requests together; the answers are in the order given. Answers to others are left for `step`.

        A request that is refused is raised before any is served; one that fails on its way, after all are. What else is
        raised takes all of them back.
        """
        results = self._generate(listed("requests", requests))
        for completion in results:
            if completion.error:
                raise completion.error
        return results

    @exclusive()
    def _generate(self, requests: Sequence[Request]) -> list[Completion]:
        mine: list[Task] = []
        try:
            for request in requests:
                self._add(request, None, mine)
            tickets = [task.live.ticket for task in mine]
            for ticket in tickets:
                while ticket in self._tasks:
                    self._advance(hurried=bool(self._deadlines) or len(self._tasks) > len(mine))
            done = dict(self._done)
            results = [done[ticket] for ticket in tickets]
            self._withdraw(tickets)
        except BaseException:
            self._withdraw([task.live.ticket for task in mine])
            raise
        return results

    @exclusive()
    def kv(self, runs: Sequence[Run], start: int = 0) -> Tensor:
        """A copy of the keys (rotated) and values that the cache holds of a sequence, from its token `start` on:
        `[layers, tokens, 2, kv_heads, dim]`, in the checkpoint's order, as transformers has them.

        Raises RequestError where the cache does not hold the whole sequence.
        """
        request = self._admission.with_tokens(self._admission.checked(Request(runs)))
        start = whole("start", start)
        if not 0 <= start < request.prompt_length:
            raise RequestError(f"start must be from 0 to {request.prompt_length - 1}, not {shown(start)}")
        found = self._work.kv(self._library.runs(request), start)
        if found is None:
            raise RequestError(f"the cache does not hold all of these {request.prompt_length} tokens")
        return found

    def inspect(self) -> Inspection:
        """What is inside at this moment."""
        return inspection(self._work, self._library, len(self._deadlines))

    @exclusive()
    def check(self) -> None:
        """Prove the invariants: every slot has one owner, every run as many references as live requests on it."""
        scheduler = self._work.scheduler
        scheduler.check()
        assert {live.ticket for live in (*scheduler.running, *scheduler.waiting)} == set(self._tasks)
        assert self._tasks or scheduler.tree.held == scheduler.pins.slots

    # ---------------------------------------------------------------- a step

    @exclusive()
    def _one_step(self, hurried: bool = True) -> None:
        self._advance(hurried or bool(self._deadlines))

    @torch.inference_mode()
    def _advance(self, hurried: bool = True) -> None:
        """hurried: whether anybody could be kept waiting by a step that takes its time."""
        began = perf_counter()
        self._torn = True
        self._expire()
        plan = self._work.scheduler.plan(hurried)
        try:
            rows = self._work.compute(plan)
        except BaseException:
            self._work.undo(plan)
            self._torn = False
            raise
        self._decide(self._work.scheduler.commit(plan, rows))
        for live in plan.spoiled:
            if live.ticket in self._tasks:
                self._end(self._tasks[live.ticket], "error", ModelError(NOT_FINITE))
        self._stats.steps += 1
        self._stats.seconds += perf_counter() - began
        self._torn = False
        self._raise()

    def _expire(self) -> None:
        while self._deadlines:
            moment, ticket = self._deadlines[0]
            if ticket in self._tasks:
                if moment > monotonic():
                    break
                self._end(self._tasks[ticket], "timeout")
            heappop(self._deadlines)

    def _forget_deadlines(self) -> None:
        """Those of requests that are done, where they have become most."""
        if len(self._deadlines) > 2 * len(self._tasks) + SPARE:
            # One line, because a part of a heap is none until it is sorted.
            self._deadlines = sorted(one for one in self._deadlines if one[1] in self._tasks)

    def _decide(self, ready: Sequence[tuple[Live, list[Row]]]) -> None:
        if not ready:
            return
        rows, places = self._work.gathered([own for _, own in ready])
        logits = self.model.logits(rows)
        top, best = self.model.best(logits)
        sound = all(map(isfinite, top))
        for (live, own), first in zip(ready, places, strict=True):
            last, place = first + len(own), len(live.generated)
            task = self._tasks.get(live.ticket)
            if task is None:  # a listener has just cancelled it
                continue
            try:
                if not sound and not all(map(isfinite, top[first:last])):
                    raise ModelError(NOT_FINITE)
                finish = task.advance(logits, first, last, best[last - 1])
            except MatcherInterrupt as error:
                self._raised = error.raised
                self._end(task, "error", error.raised)
                continue
            except Exception as error:  # of a constraint of one's own, for instance: it must not cost others their rows
                self._end(task, "error", error)
                continue
            if task.begun == place:
                task.row = self._work.kept(own[-1])
            raised = None if finish or task.listener is None else self._tell(task)
            if raised is not None and live.ticket in self._tasks:
                self._end(task, "error", raised)
            elif finish:
                self._end(task, finish)

    def _tell(self, task: Task, completion: Completion | None = None) -> BaseException | None:
        """Let a listener hear; says what it raised."""
        before, self._turnstile.telling = self._turnstile.telling, get_ident()
        raised = task.tell(completion)
        self._turnstile.telling = before
        if raised is not None and not isinstance(raised, Exception):
            self._raised = raised
        return raised

    def _raise(self) -> None:
        """What listeners raised that is meant for more than their requests, once nothing is torn any more."""
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised

    def _end(self, task: Task, finish: Finish, error: BaseException | None = None) -> None:
        task.ending = task.ending or (finish, error)
        if task.ending[0] in ("cancelled", "timeout", "error"):
            task.live.forsake()
        self._work.scheduler.cancel(task.live)
        if task.suspended is not None and task.row is not None:
            self._work.scheduler.keep_row(task.live, task.begun, task.row)
        self._close(task)

    def _close(self, task: Task) -> None:
        """Give the answer of a request that has left the scheduler. It is told once, however often this is begun."""
        assert task.ending is not None
        finish, error = task.ending
        completion = task.result
        if completion is None:
            try:
                text = task.whole_text(self.model.text)
            except ModelError as failed:
                finish, text, error = "error", task.told_text, error or failed
            completion = task.completion(finish, text, error)
            raised = self._tell(task, completion)
            if raised is not None:
                completion = task.result = replace(completion, finish="error", error=error or raised)
        self._stats.count(completion)
        self._done.append((task.live.ticket, completion))
        del self._tasks[task.live.ticket]
        self._unload()

    # ------------------------------------------------- after a call was torn

    def _mend(self) -> None:
        """Begin all that is under way anew where a call was torn: nothing is done where none was."""
        if not self._torn:
            return
        given = {ticket for ticket, _ in self._done}
        tasks = {
            ticket: self._admission.again(task) for ticket, task in sorted(self._tasks.items()) if ticket not in given
        }
        work = self._work.anew()
        for task in tasks.values():
            if task.ending is None:
                work.scheduler.add(task.live)
        self._work, self._tasks = work, tasks
        for task in list(tasks.values()):
            if task.ending is not None:
                self._close(task)
        self._torn = False

    def _withdraw(self, tickets: Sequence[int]) -> None:
        """Take requests back, with their answers."""
        torn, self._torn = self._torn, True
        for ticket in tickets:
            task = self._tasks.pop(ticket, None)
            if task is not None and not torn:
                task.live.forsake()
                self._work.scheduler.cancel(task.live)
        taken = set(tickets)
        self._done[:] = [one for one in self._done if one[0] not in taken]
        self._torn = torn

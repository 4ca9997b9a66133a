"""The engine: requests in, completions out. `step` reads as it works: plan, compute, commit, decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import accumulate
from math import isfinite
from pathlib import Path
from time import monotonic, perf_counter
from types import MappingProxyType

import torch
from torch import Tensor

from alora_runtime.adapters.config import AdapterConfig
from alora_runtime.adapters.library import Library
from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import RunTree
from alora_runtime.compute.isolation import apart, finite, wipe
from alora_runtime.compute.model import LanguageModel, load_model
from alora_runtime.errors import CapacityError, ModelError, RequestError
from alora_runtime.gguf.opening import Progress, model_folder
from alora_runtime.inspection import CachedRun, Inspection
from alora_runtime.requests import Completion, Finish, Listener, Matcher, Request
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Live, Plan, Row
from alora_runtime.stats import EngineStats
from alora_runtime.task import Task
from alora_runtime.validation import check_length, check_request, uses_of

NOT_FINITE = "the model's output is not a finite number"


class Engine:
    """One model, its adapters and one arena of KV, shared by everything that is submitted."""

    def __init__(
        self, model: LanguageModel, cache_tokens: int = 32768, reuse: bool = True, chunk_tokens: int = 2048
    ) -> None:
        if cache_tokens < 1 or chunk_tokens < 1:
            raise CapacityError(f"cache_tokens ({cache_tokens}) and chunk_tokens ({chunk_tokens}) must be at least 1")
        self.model = model
        self.cache_tokens = cache_tokens
        self._arena = model.arena(cache_tokens)
        self._batcher = model.batcher(self._arena)
        self._rows = self._arena.new_empty(0)  # of the last forward pass
        self._scheduler = Scheduler(RunTree(cache_tokens, reuse, model.double), chunk_tokens)
        self._library = Library(model.network, model.tokenizer)
        self._vocabulary = Vocabulary(model.tokenizer) if model.tokenizer else None
        self._tasks: dict[int, Task] = {}
        self._done: list[tuple[int, Completion]] = []
        self._deadlines: list[tuple[float, int]] = []  # heap of (moment, ticket)
        self._tickets = 0
        self._stats = EngineStats()
        self._inference = torch.inference_mode()  # making one costs a step 5 µs

    @classmethod
    def load(
        cls,
        model_dir: str | Path,
        adapters: Mapping[str, str | Path] | None = None,
        dtype: str = "float32",
        cache_tokens: int = 32768,
        *,
        reuse: bool = True,
        chunk_tokens: int = 2048,
        attention: str = "fast",
        cache_bytes: int | None = None,
        device: str = "cpu",
        processor: str | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """Load a model and its adapters from local folders. A GGUF file is converted to one first, once: `progress` is
        told of how many bytes how many are written.

        dtype: "float32" (exact), "bfloat16" (what else is in the batch or the cache may round an answer another way)
        or "auto" (bfloat16 where the processor is fast at it). cache_tokens: size of the KV arena; cache_bytes: the
        same in bytes, if given. reuse: share KV between sequences; off, every request computes all it needs.
        chunk_tokens: most prompt tokens in one step. attention: "fast", or "reference" (slow and plain). device: by
        torch's name; processor: "cpu", fast on one, or "plain", which runs on any device; by default the one that fits
        the device.
        Raises ModelError, AdapterError.
        """
        model = load_model(model_folder(model_dir, progress), dtype, attention, device, processor)
        slots = cache_tokens if cache_bytes is None else cache_bytes // model.slot_bytes - 1
        engine = cls(model, slots, reuse, chunk_tokens)
        for name, folder in (adapters or {}).items():
            engine.add_adapter(name, folder)
        return engine

    def add_adapter(self, name: str, folder: str | Path) -> AdapterConfig:
        """Load an adapter under a name; a name may be given again, and then means the new content from now on."""
        config = self._library.add(name, folder)
        self._unload()
        return config

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
        scheduler = self._scheduler
        return replace(
            self._stats,
            recomputed=scheduler.recomputed,
            preempted=scheduler.preempted,
            evicted=scheduler.tree.evicted,
        )

    def submit(self, request: Request, listener: Listener | None = None) -> int:
        """Queue a request; the ticket names it in `step` and `cancel`, and the listener hears of each token as `step`
        makes it. Raises RequestError or CapacityError before anything is touched."""
        trie = ChoiceTrie(request.choices) if request.choices is not None else None
        check_request(request, self._library.configs, self.model.vocabulary)
        room = len(trie.tokens) if trie else request.max_tokens - 1
        longest = max(map(len, trie.choices)) if trie else request.max_tokens
        check_length(request.prompt_length, longest, room, self.model.source.max_positions, self.cache_tokens)
        matcher = self._matcher(request)
        live = Live(self._tickets, self._library.runs(request), room, trie, uses_of(request), request.pin)
        self._scheduler.check_pins(live)
        stops = (*request.stop_tokens, *(() if request.ignore_eos else self.model.source.eos))
        text = self._detokenizer(request, listener is not None)
        stop = stops[0] if stops else None
        self._tasks[live.ticket] = Task(request, live, frozenset(stops), stop, matcher, text, listener)
        self._tickets += 1
        self._scheduler.add(live)
        if request.timeout is not None:
            heappush(self._deadlines, (monotonic() + request.timeout, live.ticket))
        return live.ticket

    def cancel(self, ticket: int) -> None:
        """Stop a request; the next step returns what it had, finished as "cancelled". A ticket already done is left."""
        if ticket in self._tasks:
            self._end(self._tasks[ticket], "cancelled")

    def forget(self) -> None:
        """Empty the prefix cache of all that no live request uses and that is not pinned."""
        self._scheduler.tree.make_room(self._scheduler.tree.available)

    def release(self, pin: str) -> None:
        """Let go of what was pinned under this name, and will be by requests under way; it is cache then as any other.
        A name that nothing is pinned under is left."""
        self._scheduler.release(pin)

    def step(self) -> list[tuple[int, Completion]]:
        """Compute one batch; returns the requests finished since the last step, by ticket."""
        began = perf_counter()
        self._expire()
        with self._inference:
            plan = self._scheduler.plan()
            try:
                rows = self._compute(plan)
            except BaseException:
                wipe(plan, self._arena)
                self._scheduler.abort(plan)
                raise
            self._decide(self._scheduler.commit(plan, rows))
            for live in plan.spoiled:
                if live.ticket in self._tasks:
                    self._end(self._tasks[live.ticket], "error", ModelError(NOT_FINITE))
        self._stats.steps += 1
        self._stats.seconds += perf_counter() - began
        done, self._done = self._done, []
        return done

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Serve requests together; the answers are in the order given. Answers to others are left for `step`.

        A request that is refused is raised before any is served; one that fails on its way, after all are.
        """
        tickets: list[int] = []
        try:
            for request in requests:
                tickets.append(self.submit(request))
            results = self._serve(tickets)
        except BaseException:
            for ticket in tickets:
                self._withdraw(ticket)
            raise
        for completion in results:
            if completion.error:
                raise completion.error
        return results

    def inspect(self) -> Inspection:
        """What is inside at this moment."""
        scheduler, tree = self._scheduler, self._scheduler.tree
        return Inspection(
            total=tree.pool.total,
            free=tree.pool.free,
            stored=tree.stored,
            held=tree.held,
            running=tuple(live.ticket for live in scheduler.running),
            waiting=tuple(live.ticket for live in scheduler.waiting),
            pins={name: sum(end.end for end in ends) for name, ends in scheduler.pins.ends.items()},
            adapters={name: self._library.number(name) for name in self._library.configs},
            loaded=frozenset(self._library.loaded),
            runs=tuple(
                CachedRun(node.depth, node.label, node.tokens, node.ready, node.references) for node in tree.nodes()
            ),
            slow=self.model.slow,
            deadlines=len(self._deadlines),
            arena=self._arena,
        )

    def check(self) -> None:
        """Prove the invariants: every slot has one owner, every run as many references as live requests on it."""
        scheduler = self._scheduler
        scheduler.check()
        assert {live.ticket for live in (*scheduler.running, *scheduler.waiting)} == set(self._tasks)
        assert self._tasks or scheduler.tree.held == scheduler.pins.slots

    def _serve(self, tickets: Sequence[int]) -> list[Completion]:
        wanted = set(tickets)
        results: dict[int, Completion] = {}
        while len(results) < len(wanted):
            for ticket, completion in self.step():
                if ticket in wanted:
                    results[ticket] = completion
                else:
                    self._done.append((ticket, completion))
        return [results[ticket] for ticket in tickets]

    def _matcher(self, request: Request) -> Matcher | None:
        if request.constraint is None:
            return None
        if self._vocabulary is None:
            raise RequestError("a constraint needs a tokenizer, and the model folder has no tokenizer.json")
        return request.constraint.matcher(self._vocabulary)

    def _detokenizer(self, request: Request, listened: bool) -> Detokenizer | None:
        """Where somebody listens or a string may stop the answer; without a tokenizer there is no text to hear of."""
        if self.model.tokenizer is None and request.stop_strings:
            raise RequestError("stop strings need a tokenizer, and the model folder has no tokenizer.json")
        if self.model.tokenizer is None or request.choices is not None or not (listened or request.stop_strings):
            return None
        return Detokenizer(self.model.tokenizer, request.stop_strings)

    def _expire(self) -> None:
        while self._deadlines and self._deadlines[0][0] <= monotonic():
            ticket = heappop(self._deadlines)[1]
            if ticket in self._tasks:
                self._end(self._tasks[ticket], "timeout")

    def _compute(self, plan: Plan) -> Sequence[Row]:
        """Rows that stay in the tree as copies, so as not to keep the whole step's alive; others by their numbers."""
        if not plan.pieces and not plan.decoding:
            return ()
        batch = self._batcher.build(plan)
        self._stats.rows += len(batch.tokens)
        self._rows = self.model.rows(batch)
        if not finite(self._rows, batch):
            return apart(plan, self._batcher, self.model)
        if not plan.pieces:
            return batch.order
        return [
            self._rows[row].clone() if isinstance(keeper, CacheNode) else row
            for keeper, row in zip(plan.keepers(), batch.order, strict=True)
        ]

    def _decide(self, ready: Sequence[tuple[Live, list[Row]]]) -> None:
        if not ready:
            return
        rows, places = self._gathered([own for _, own in ready])
        logits = self.model.logits(rows)
        top, best = self.model.best(logits)
        sound = all(map(isfinite, top))
        for (live, own), first in zip(ready, places, strict=True):
            last = first + len(own)
            task = self._tasks.get(live.ticket)
            if task is None:  # a listener has just cancelled it
                continue
            try:
                if not sound and not all(map(isfinite, top[first:last])):
                    raise ModelError(NOT_FINITE)
                finish = task.advance(logits, first, last, best[last - 1])
                if not finish:
                    task.tell()
            except Exception as error:  # of a constraint of one's own, for instance: it must not cost others their rows
                if live.ticket in self._tasks:
                    self._end(task, "error", error)
            else:
                if finish:
                    self._end(task, finish)

    def _gathered(self, owned: Sequence[Sequence[Row]]) -> tuple[Tensor, Sequence[int]]:
        """All rows as `[n, hidden]`, and where each owner's begin. A row is a tensor, or a number among the last
        step's, which are taken as they lie when each has one owner."""
        rows = [row for own in owned for row in own]
        if len(rows) == len(owned) == len(self._rows) and set(map(type, rows)) == {int}:
            return self._rows, rows  # type: ignore[return-value]
        every = [self._rows[row] if isinstance(row, int) else row for row in rows]
        return torch.stack(every), [0, *accumulate(map(len, owned[:-1]))]  # type: ignore[arg-type]

    def _end(self, task: Task, finish: Finish, error: Exception | None = None) -> None:
        if finish in ("cancelled", "timeout", "error"):
            task.live.pin = None
        self._scheduler.cancel(task.live)
        del self._tasks[task.live.ticket]
        completion = task.completion(finish, self.model.text(task.live.generated), error)
        try:
            task.tell(completion)
        except Exception as raised:
            completion = replace(completion, finish="error", error=error or raised)
        self._stats.requests += 1
        self._stats.reused += completion.reused
        self._stats.prefilled += completion.prefilled
        self._stats.generated += completion.generated
        self._stats.forced += completion.forced
        self._done.append((task.live.ticket, completion))
        self._unload()

    def _withdraw(self, ticket: int) -> None:
        """Take a request back without an answer."""
        if ticket in self._tasks:
            live = self._tasks.pop(ticket).live
            live.pin = None
            self._scheduler.cancel(live)

"""What an engine works on: the arena, who has which slots of it, and the rows of the last step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from time import perf_counter

import torch
from torch import Tensor

from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import Labelled, RunTree
from alora_runtime.compute.attention import picked
from alora_runtime.compute.isolation import apart, finite, wipe
from alora_runtime.compute.model import LanguageModel
from alora_runtime.schedule.pace import Pace
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Plan, Row


class Workspace:
    """All that a torn call may leave in disorder, and that can be made anew: requests are not in it."""

    def __init__(self, model: LanguageModel, slots: int, reuse: bool, chunk_tokens: int, pace: Pace) -> None:
        self.model, self.settings = model, (slots, reuse, chunk_tokens, pace)
        self.arena = model.arena(slots)
        self.scheduler = Scheduler(RunTree(slots, reuse, model.double), chunk_tokens, pace=pace)
        self.computed = 0  # rows of all steps
        self._batcher = model.batcher(self.arena)
        self._rows = self.arena.new_empty(0)  # of the last forward pass

    def anew(self) -> Workspace:
        """An empty one of the same kind, which goes on counting."""
        fresh = Workspace(self.model, *self.settings)
        scheduler, before = fresh.scheduler, self.scheduler
        scheduler.recomputed, scheduler.preempted = before.recomputed, before.preempted
        scheduler.tree.evicted, fresh.computed = before.tree.evicted, self.computed
        scheduler.tree.evicted_retained = before.tree.evicted_retained
        return fresh

    def undo(self, plan: Plan) -> None:
        """The plan was not computed, or not as a whole: as if it had not been made."""
        wipe(plan, self.arena)
        self.scheduler.abort(plan)

    def compute(self, plan: Plan) -> Sequence[Row]:
        """The rows that a plan's pieces keep. Raises what the model raises.

        Rows that stay in the tree are copies, so as not to keep the whole step's alive; others are their numbers.
        """
        if not plan.pieces and not plan.decoding:
            return ()
        batch = self._batcher.build(plan)
        self.computed += len(batch.tokens)
        began = perf_counter()
        self._rows = self.model.rows(batch)
        if plan.pieces:
            self._note(plan, perf_counter() - began)
        if not finite(self._rows, batch):
            return apart(plan, self._batcher, self.model)
        if not plan.pieces:
            return batch.order
        return [
            self._rows[row].clone() if isinstance(keeper, CacheNode) else row
            for keeper, row in zip(plan.keepers(), batch.order, strict=True)
        ]

    def kv(self, runs: Sequence[Labelled], start: int) -> Tensor | None:
        """What the cache holds of a sequence from token `start` on, as `Engine.kv` gives it; None unless it has all."""
        path = self.scheduler.tree.find(runs).path()
        length = sum(len(tokens) for _, tokens in runs)
        if sum(node.ready for node in path) < length:
            return None
        slots = torch.cat([torch.arange(node.start, node.start + len(node.tokens)) for node in path])[start:]
        return self.model.network.as_stored(picked(self.arena, slots.to(self.arena.device)))

    def _note(self, plan: Plan, seconds: float) -> None:
        pace = self.scheduler.pace
        work = sum(pace.cost(piece.start, piece.start + piece.length) for piece in plan.pieces)
        pace.note(work + len(plan.decoding), seconds)

    def kept(self, row: Row) -> Row:
        """A row of the last step for longer than that."""
        return self._rows[row].clone() if isinstance(row, int) else row

    def gathered(self, owned: Sequence[Sequence[Row]]) -> tuple[Tensor, Sequence[int]]:
        """All rows as `[n, hidden]`, and where each owner's begin. A row is a tensor, or a number among the last
        step's, which are taken as they lie when each has one owner."""
        rows = [row for own in owned for row in own]
        if len(rows) == len(owned) == len(self._rows) and set(map(type, rows)) == {int}:
            return self._rows, rows  # type: ignore[return-value]
        every = [self._rows[row] if isinstance(row, int) else row for row in rows]
        return torch.stack(every), [0, *accumulate(map(len, owned[:-1]))]  # type: ignore[arg-type]

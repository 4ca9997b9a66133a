"""The loop: steps of learning, a look at the validation rows now and then, and the best weights that were seen.

A run is a function of its rows, its settings and the number of threads. Its state is written to disk, so that one that
was killed goes on from there and comes to the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from math import isfinite
from operator import add
from random import Random
from time import monotonic
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from alora_flow.errors import RunFailed
from alora_flow.training.adapted_model import AdaptedModel
from alora_flow.training.batches import IGNORED, Material, SampleBatch
from alora_flow.training.spec import IntrinsicSpec

TrainingState: TypeAlias = dict[str, Any]
"""Of a run between two steps: tensors and plain data."""

Weights: TypeAlias = dict[str, Tensor]

NOTED = 10
"""Of so many steps the loss is told together."""

KEPT = 60.0
"""Seconds after which the state is written again."""

LONGEST_GRADIENT = 1.0
"""A longer gradient is made so long."""


PART = 8
"""Rows that are worth a thread of their own. To wake several threads for each of ten thousand small operations takes
longer than one thread takes for all: so each learns of its own rows, and wakes nobody."""


@dataclass(frozen=True)
class Judgement:
    """What the validation rows say after a step: the mean loss of an answer's tokens, and the share of answers that
    would have been others, token by token."""

    step: int
    loss: float
    error: float


@dataclass(frozen=True)
class Fitted:
    """The best weights, the judgements in order, the best of them, and how many steps there were."""

    weights: Weights
    judgements: tuple[Judgement, ...]
    best: Judgement
    steps: int


class Fitting:
    """One run. told: gets facts of each noted step and judgement. kept: writes the state."""

    def __init__(
        self,
        model: AdaptedModel,
        spec: IntrinsicSpec,
        train: Material,
        validation: Material,
        told: Callable[..., None] = lambda **facts: None,
        kept: Callable[[TrainingState], None] = lambda state: None,
    ) -> None:
        self.model, self.spec, self.train, self.validation = model, spec, train, validation
        self.told, self.kept = told, kept
        self.optimiser = torch.optim.AdamW(model.parameters, spec.rate, betas=(0.9, 0.98), weight_decay=spec.decay)
        self.per_epoch = -(-len(train) // spec.batch)
        self.total = spec.epochs * self.per_epoch
        self.step, self.seconds = 0, 0.0
        self.judgements: list[Judgement] = []
        self.best: Weights = {}
        self._losses: list[float] = []
        self._map: Callable[..., Iterable[Any]] = map
        self._order: list[list[int]] = []  # of the epoch under way

    def run(self) -> Fitted:
        """Train to the end, or until `patience` judgements were no better. Raises RunFailed for numbers that are not
        finite, and where nothing is learnt."""
        with side_by_side(self._parts()) as self._map:
            return self._run()

    def _parts(self) -> int:
        """Into how many a batch is divided. What dropout leaves out is drawn row by row, from one source."""
        return 1 if self.spec.dropout else max(1, min(torch.get_num_threads(), self.spec.batch // PART))

    def _run(self) -> Fitted:
        self.model.model.train()
        every = max(1, self.per_epoch // self.spec.evaluations)
        began, written = monotonic() - self.seconds, monotonic()
        while self.step < self.total and not self._given_up():
            epoch, place = divmod(self.step, self.per_epoch)
            if not place or not self._order:
                self._order = self._order_of(epoch)
            self._learn(self._order[place])
            self.step += 1
            self.seconds = monotonic() - began
            if self.step % NOTED == 0:
                self._note()
            judged = self.step % every == 0 or self.step == self.total
            if judged:
                self._judge()
            if judged or monotonic() - written > KEPT:
                self.kept(self.state())
                written = monotonic()
        best = min(self.judgements, key=lambda judgement: judgement.loss)
        return Fitted(self.best, tuple(self.judgements), best, self.step)

    def _order_of(self, epoch: int) -> list[list[int]]:
        return self.train.shuffled(self.spec.batch, Random(f"{self.spec.seed} {epoch}"))

    def _given_up(self) -> bool:
        losses = [judgement.loss for judgement in self.judgements]
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= self.spec.patience

    def _rate(self) -> float:
        """Of the step to come."""
        spec, left = self.spec, self.total - self.step
        return spec.rate * min((self.step + 1) / (spec.warmup + 1), left / max(1, self.total - spec.warmup), 1.0)

    def _learn(self, rows: Sequence[int]) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self._losses.append(self._backward(rows))
        length = float(torch.nn.utils.clip_grad_norm_(self.model.parameters, LONGEST_GRADIENT))
        if not isfinite(length) or not isfinite(self._losses[-1]):
            raise RunFailed(
                f"step {self.step + 1}: the loss is {self._losses[-1]}, and its gradient {length} long",
                'a smaller `rate` may help, or precision = "float32"',
            )
        if length == 0:
            raise RunFailed(f"step {self.step + 1}: the gradient is zero: the adapter takes no part in the answer")
        self.optimiser.step()
        self.optimiser.zero_grad()

    def _backward(self, rows: Sequence[int]) -> float:
        """The mean loss of the answers' tokens of some rows, whose gradient the parameters get."""
        parts = self._parts()
        tokens = sum(len(self.train.samples[row].answer) for row in rows)
        shares = [rows[part::parts] for part in range(parts) if rows[part::parts]]
        losses, gradients = zip(*self._map(partial(self._gradients, tokens), shares), strict=True)
        for parameter, own in zip(self.model.parameters, zip(*gradients, strict=True), strict=True):
            found = [gradient for gradient in own if gradient is not None]
            # In this order always, so that the same run comes to the same weights.
            parameter.grad = reduce(add, found) if found else None
        return float(sum(losses))

    def _gradients(self, tokens: int, rows: Sequence[int]) -> tuple[float, Sequence[Tensor | None]]:
        """The part that some rows have in the mean loss of so many tokens, and its gradients."""
        batch = self.train.batch(rows)
        wanted = batch.wanted.flatten()
        loss = (
            F.cross_entropy(self._scores(batch).flatten(0, 1), wanted, ignore_index=IGNORED, reduction="sum") / tokens
        )
        return loss.item(), torch.autograd.grad(loss, self.model.parameters, allow_unused=True)

    def _scores(self, batch: SampleBatch) -> Tensor:
        return self.model.scores(batch.tokens, batch.kept, batch.past, batch.seen)

    def _note(self) -> None:
        loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self.told(step=self.step, of=self.total, loss=round(loss, 5), rate=self._rate(), seconds=round(self.seconds, 1))

    def _judge(self) -> None:
        """A look at the validation rows."""
        self.model.model.eval()
        batches = self.validation.in_order(2 * self.spec.batch)
        losses, wrong, tokens = map(sum, zip(*self._map(self._judged, batches), strict=True))
        loss = losses / tokens
        self.model.model.train()
        judgement = Judgement(self.step, loss, wrong / len(self.validation))
        if not isfinite(judgement.loss):
            raise RunFailed(f"step {self.step}: the loss of the validation rows is {judgement.loss}")
        if all(judgement.loss < earlier.loss for earlier in self.judgements):
            self.best = self.model.state()
        self.judgements.append(judgement)
        self.told(step=self.step, of=self.total, validation=round(judgement.loss, 5), error=round(judgement.error, 5))

    @torch.no_grad()
    def _judged(self, rows: Sequence[int]) -> tuple[float, int, int]:
        """Of some validation rows: the loss of their tokens together, how many are wrong, and how many tokens."""
        batch = self.validation.batch(rows)
        scores, learnt = self._scores(batch), batch.wanted != IGNORED
        loss = float(F.cross_entropy(scores[learnt], batch.wanted[learnt], reduction="sum"))
        return loss, int(((scores.argmax(-1) != batch.wanted) & learnt).any(1).sum()), int(learnt.sum())

    def state(self) -> TrainingState:
        """Between two steps."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.model.state(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "judgements": [(one.step, one.loss, one.error) for one in self.judgements],
            "losses": list(self._losses),
            "chance": torch.get_rng_state(),
        }

    def resume(self, state: TrainingState) -> None:
        """Go on from there."""
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.model.restore(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.judgements = [Judgement(*one) for one in state["judgements"]]
        self._losses = list(state["losses"])
        torch.set_rng_state(state["chance"])
        epoch, place = divmod(self.step, self.per_epoch)
        self._order = self._order_of(epoch) if place else []


@contextmanager
def side_by_side(parts: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` in so many threads, among which torch's own are divided."""
    threads = torch.get_num_threads()
    if parts == 1:
        yield map
        return
    try:
        with ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(max(1, threads // parts),)) as pool:
            yield pool.map
    finally:  # other threads that use torch for the first time begin with what was set last
        torch.set_num_threads(threads)

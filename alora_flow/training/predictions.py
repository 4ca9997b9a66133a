"""What answers rows with what probability: an adapter, or the bare base, through the engine; and the majority rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import alora_runtime
from alora_flow.errors import BadAdapter, BadModel, RunFailed
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.training.metrics import Flags, Indices, Numbers
from alora_flow.training.samples import TrainingSample
from alora_runtime import Completion, Request, Run
from alora_runtime.errors import AdapterError, CapacityError, ModelError, RequestError

AT_ONCE = 256
"""Requests that are given to the engine together."""

Progress = Callable[[int, int], None]
"""Told of how many requests how many are answered."""


def quiet(done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Predictions:
    """Of rows with labels: the log-probability of each label, `[rows, labels]`, before they are normalised."""

    log_probabilities: Numbers

    def probabilities(self, temperature: float = 1.0) -> Numbers:
        """Of each label, given that one of them is the answer, `[rows, labels]`."""
        scaled = self.log_probabilities / temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        made: Numbers = weights / weights.sum(axis=1, keepdims=True)
        return made


@dataclass(frozen=True)
class TextPredictions:
    """Of rows with texts: would greedy decoding write the answer, token by token; and the mean log-probability of the
    answer's tokens."""

    exact: Flags
    log_probabilities: Numbers


@dataclass(frozen=True)
class AskedSamples:
    """Samples, and who answers them: an adapter by its name in the engine, or the bare base."""

    samples: Sequence[TrainingSample]
    adapter: str | None


class EnginePredictor:
    """A base and adapters in one engine, in float32 as flows run it. Prompts that begin alike share what they begin
    with."""

    def __init__(self, base: ModelFiles, progress: Progress = quiet) -> None:
        """Raises BadModel."""
        try:
            self.engine = alora_runtime.Engine.load(base.folder)
        except ModelError as error:
            raise BadModel(str(error)) from error
        self._progress = progress

    def add(self, folder: Path) -> str:
        """Load an adapter; the name that it goes by here is its folder. Raises BadAdapter, also for one of another
        base."""
        try:
            self.engine.add_adapter(str(folder), folder)
        except AdapterError as error:
            raise BadAdapter(
                str(error), "take the adapter that was trained for this base, or train it again"
            ) from error
        return str(folder)

    def labels(self, asked: Sequence[AskedSamples], labels: Sequence[tuple[int, ...]]) -> list[Predictions]:
        """How likely each of the labels, which are tokens, answers each sample. What is asked together shares what its
        samples begin with."""
        runs = [_runs(sample, one.adapter) for one in asked for sample in one.samples]
        done = iter(self._answers([Request(run, choices=labels) for run in runs]))
        return [Predictions(np.array([next(done).choice_logprobs for _ in one.samples])) for one in asked]

    def texts(self, asked: AskedSamples) -> TextPredictions:
        """How each sample's own answer is written."""
        runs = [_runs(sample, asked.adapter) for sample in asked.samples]
        answers = [sample.answer for sample in asked.samples]
        scored = [Request(run, choices=[answer]) for run, answer in zip(runs, answers, strict=True)]
        written = [
            Request(run, max_tokens=len(answer), ignore_eos=True) for run, answer in zip(runs, answers, strict=True)
        ]
        done = self._answers([*scored, *written])
        sums, texts = done[: len(runs)], done[len(runs) :]
        exact = [one.tokens == answer for one, answer in zip(texts, answers, strict=True)]
        means = [one.choice_logprobs[0] / len(answer) for one, answer in zip(sums, answers, strict=True)]
        return TextPredictions(np.array(exact), np.array(means))

    def _answers(self, requests: Sequence[Request]) -> list[Completion]:
        """In the order of the requests; they are computed in the order of their tokens, so that what is shared is in
        the cache. Raises RunFailed, and BadAdapter for one whose numbers are not finite."""
        order = sorted(range(len(requests)), key=lambda index: [tuple(run.tokens) for run in requests[index].runs])
        done: dict[int, Completion] = {}
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            try:
                completions = self.engine.generate([requests[index] for index in chosen])
            except (RequestError, CapacityError) as error:
                raise RunFailed(str(error)) from error
            for index, completion in zip(chosen, completions, strict=True):
                if completion.error is not None:
                    raise _failed(completion.error, requests[index].runs[-1].adapter)
                done[index] = completion
            self._progress(len(done), len(requests))
        return [done[index] for index in range(len(requests))]


def _runs(sample: TrainingSample, adapter: str | None) -> list[Run]:
    return [run for run in (Run(sample.context), Run(sample.adapted, adapter)) if run.tokens]


def _failed(error: BaseException, adapter: str | None) -> BadAdapter | RunFailed:
    if isinstance(error, ModelError) and adapter is not None:
        return BadAdapter(f"{adapter}: with this adapter {error}", "its weights are damaged: train it again")
    return RunFailed(str(error))


def majority(right: Indices, labels: int) -> Predictions:
    """The rule that looks at nothing: each label is as likely as it is common among these rows, in hindsight."""
    shares = np.bincount(right, minlength=labels) / len(right)
    with np.errstate(divide="ignore"):
        return Predictions(np.tile(np.log(shares), (len(right), 1)))

"""What was answered beside what was right: every figure with its interval, for all rows and for each source."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from alora_flow.intrinsics.calibration import USUAL_THRESHOLD, Calibration
from alora_flow.training import metrics
from alora_flow.training.bootstrap import Estimates, with_intervals
from alora_flow.training.metrics import Bin, Flags, Indices, Numbers
from alora_flow.training.predictions import Predictions, TextPredictions
from alora_flow.training.rows import LabelledRow


class Answered(Protocol):
    """Answers to rows, with what was right."""

    def figures(self, rows: Indices, weights: Numbers) -> Mapping[str, Numbers]:
        """Of the rows with these numbers, by name; weights `[draws, rows]` and figures `[draws]` as in `metrics`."""
        ...

    @property
    def reliability(self) -> Sequence[Bin]:
        """The points of the reliability diagram; none where nothing is a probability."""
        ...


@dataclass(frozen=True)
class Chosen:
    """One of a few answers to each row, by numbers of classes. numbers: what the answers' probabilities come to, the
    mean of the numbers that they stand for; targets: what that should be. None where there are none."""

    taken: Indices
    right: Indices
    numbers: Numbers | None = None
    targets: Numbers | None = None

    @cached_property
    def positive(self) -> Flags | None:
        """Which rows have the larger target, where there are two."""
        if self.targets is None or len(np.unique(self.targets)) != 2:
            return None
        found: Flags = self.targets == self.targets.max()
        return found

    def figures(self, rows: Indices, weights: Numbers) -> dict[str, Numbers]:
        both = self.taken[rows], self.right[rows], weights
        found = {"error": metrics.error(*both), "macro_f1": metrics.macro_f1(*both)}
        if self.numbers is None or self.targets is None:
            return found
        known = np.isfinite(self.numbers[rows])
        rows, weights = rows[known], weights[:, known]
        numbers, targets, positive = self.numbers[rows], self.targets[rows], self.positive
        if positive is not None:
            found["auroc"] = metrics.auroc(numbers, positive[rows], weights)
        found["mae"] = metrics.mean_absolute_error(numbers, targets, weights)
        if self._probable:
            found["brier"] = metrics.brier(numbers, targets, weights)
            found["brier_of_constant"] = metrics.brier_of_constant(targets, weights)
            found["ece"] = metrics.calibration_error(numbers, targets, weights)
        return found

    @property
    def reliability(self) -> list[Bin]:
        if self.numbers is None or self.targets is None or not self._probable:
            return []
        return metrics.reliability(self.numbers, self.targets)

    @cached_property
    def _probable(self) -> bool:
        """Are numbers and targets probabilities?"""
        both = (self.numbers, self.targets)
        return all(each is not None and each.min() >= 0 and each.max() <= 1 for each in both)


@dataclass(frozen=True)
class Written:
    """A text for each row."""

    predictions: TextPredictions

    def figures(self, rows: Indices, weights: Numbers) -> dict[str, Numbers]:
        wrong, scores = (~self.predictions.exact[rows]).astype(float), self.predictions.log_probabilities[rows]
        return {"error": metrics.mean(wrong, weights), "log_probability": metrics.mean(scores, weights)}

    @property
    def reliability(self) -> list[Bin]:
        return []


def chosen(
    predictions: Predictions, rows: Sequence[LabelledRow], answers: Mapping[str, float], decides: Calibration | None
) -> Chosen:
    """The answers that an intrinsic gives to rows with labels: the likeliest, unless its calibration says otherwise."""
    labels, values = list(answers), np.array([*answers.values()])
    right = right_answers(rows, answers)
    targets = values[right]
    for place, row in enumerate(rows):
        if row.outcome is not None:
            targets[place] = row.outcome
    probabilities = predictions.probabilities(decides.temperature if decides else 1.0)
    numbers = probabilities @ values
    taken = probabilities.argmax(1)
    if decides is not None and decides.decides_answers:
        threshold = USUAL_THRESHOLD if decides.threshold is None else decides.threshold
        higher = labels.index(decides.higher)
        taken = np.where(numbers >= threshold, higher, 1 - higher)
    return Chosen(taken, right, numbers, targets)


def right_answers(rows: Sequence[LabelledRow], answers: Mapping[str, float]) -> Indices:
    """The place of each row's label among the answers."""
    places = {label: place for place, label in enumerate(answers)}
    return np.array([places[row.completion] for row in rows])


@dataclass(frozen=True)
class Measured:
    """Figures of so many rows, in so many groups that are drawn together; parts: the number of rows and the figures of
    each file and of each source, where there are several."""

    rows: int
    groups: int
    figures: Estimates
    parts: Mapping[str, tuple[int, Estimates]]
    reliability: Sequence[Bin]


def measure(answered: Answered, groups: Sequence[Hashable], *ways: Sequence[str]) -> Measured:
    """All figures, with 95 % intervals. ways: to part the rows, each by a name for every row."""
    parts: dict[str, tuple[int, Estimates]] = {}
    for names in ways:
        for name in sorted(set(names)) if len(set(names)) > 1 else ():
            own = np.array([row for row, each in enumerate(names) if each == name])
            parts[name] = (len(own), _part(answered, groups, own))
    every = _part(answered, groups, np.arange(len(groups)))
    return Measured(len(groups), len(set(groups)), every, parts, answered.reliability)


def _part(answered: Answered, groups: Sequence[Hashable], own: Indices) -> Estimates:
    return with_intervals(lambda weights: answered.figures(own, weights), [groups[row] for row in own])


def groups_of(rows: Sequence[LabelledRow]) -> list[Hashable]:
    """Which rows are drawn together. A group that is a whole file says nothing: its rows stand for themselves, as those
    without a group do."""
    whole: dict[str, set[str | int]] = {}
    for row in rows:
        whole.setdefault(row.file, set()).add(row.group)
    return [row.where if row.group == "" or len(whole[row.file]) == 1 else row.group for row in rows]

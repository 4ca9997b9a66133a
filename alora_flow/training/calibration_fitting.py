"""Fitting a calibration: a threshold for a wanted rate of false alarms or misses, or a temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alora_flow.errors import BadInput
from alora_flow.intrinsics.calibration import COLDEST, HOTTEST
from alora_flow.training.metrics import Flags, Indices, Numbers
from alora_flow.training.predictions import Predictions

Rate = Literal["false alarms", "misses"]

HALVINGS = 60
"""Of the range that a temperature is looked for in: more than a float has digits."""


@dataclass(frozen=True)
class Rates:
    """How often there is an alarm where nothing is the matter, and none where something is, between 0 and 1."""

    false_alarms: float
    misses: float


def rates(numbers: Numbers, positive: Flags, threshold: float, alarm_above: bool = True) -> Rates:
    """Of a threshold. positive: rows whose number should be high. alarm_above: is a number from the threshold on the
    alarm, or one below it?"""
    alarm, matter = (numbers >= threshold) == alarm_above, positive == alarm_above
    return Rates(float(alarm[~matter].mean()), float((~alarm[matter]).mean()))


def fit_threshold(
    numbers: Numbers, positive: Flags, kind: Rate, most: float, span: tuple[float, float], alarm_above: bool = True
) -> float:
    """The threshold that keeps one rate within `most`, and has the least of the other. span: in which it may lie.

    Raises BadInput where rows of one kind are missing, and where no threshold keeps it.
    """
    if positive.all() or not positive.any():
        raise BadInput("all rows have the same answer: a threshold is fitted on rows of two kinds")

    def cost(threshold: float) -> tuple[float, float]:
        found = rates(numbers, positive, threshold, alarm_above)
        wanted, other = found.false_alarms, found.misses
        return (other, wanted) if kind == "false alarms" else (wanted, other)

    costs = {threshold: cost(threshold) for threshold in thresholds(numbers, span)}
    kept = {threshold: both for threshold, both in costs.items() if both[1] <= most}
    if not kept:
        least = min(both[1] for both in costs.values())
        raise BadInput(
            f"no threshold keeps {kind} within {100 * most:.1f} %: the least is {100 * least:.1f} %", "allow for more"
        )
    return min(kept, key=lambda threshold: kept[threshold])


def least_wrong(numbers: Numbers, positive: Flags, span: tuple[float, float]) -> float:
    """The threshold with the fewest wrong rows."""
    return min(thresholds(numbers, span), key=lambda threshold: int(((numbers >= threshold) != positive).sum()))


def thresholds(numbers: Numbers, span: tuple[float, float]) -> list[float]:
    """One for each way to part the rows: in the middle between neighbours, where floats have a middle."""
    values = np.unique(numbers)
    middles = (values[:-1] + values[1:]) / 2
    between = np.where(middles > values[:-1], middles, values[1:])
    above = [(values[-1] + span[1]) / 2] if values[-1] < span[1] else []
    return [span[0], *between.tolist(), *above]


def fit_temperature(predictions: Predictions, right: Indices) -> float:
    """The temperature under which the right answers are likeliest.

    The loss is convex in 1 / temperature: its slope is zero in one place, which is found by halving. Raises BadInput
    where it lies at an end: where every answer is right, and where answers say nothing of what is right.
    """
    scores = predictions.log_probabilities
    true = scores[np.arange(len(right)), right]

    def slope(temperature: float) -> float:
        return float(((predictions.probabilities(temperature) * scores).sum(1) - true).mean())

    cold, hot = COLDEST, HOTTEST
    if slope(cold) <= 0:
        raise BadInput("every row is answered right: no temperature can be fitted on these", "give more rows")
    if slope(hot) >= 0:
        raise BadInput("the answers say nothing of what is right on these rows: no temperature mends that")
    for _ in range(HALVINGS):
        middle = float(np.sqrt(cold * hot))
        cold, hot = (middle, hot) if slope(middle) > 0 else (cold, middle)
    return float(np.sqrt(cold * hot))


def loss(predictions: Predictions, right: Indices, temperature: float = 1.0) -> float:
    """The mean negative log-probability of the right answers."""
    found = predictions.probabilities(temperature)[np.arange(len(right)), right]
    return float(-np.log(found).mean())

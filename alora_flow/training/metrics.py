"""How good answers, numbers and probabilities are: plain functions of arrays with one entry a row."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 10
"""Of equal width, from 0 to 1."""


def error(taken: Indices, right: Indices) -> float:
    """The share of rows whose answer is not the right one."""
    return float((taken != right).mean())


def macro_f1(taken: Indices, right: Indices) -> float:
    """The mean of F1 over the classes that rows have or were given."""
    scores = []
    for name in np.union1d(taken, right):
        hits = int(((taken == name) & (right == name)).sum())
        scores.append(2 * hits / (int((taken == name).sum()) + int((right == name).sum())))
    return float(np.mean(scores))


def auroc(scores: Numbers, positive: Flags) -> float:
    """How often a positive row has more than a negative one, ties by half. Not a number where one kind is missing."""
    of_positive, of_negative = scores[positive], np.sort(scores[~positive])
    if not len(of_positive) or not len(of_negative):
        return nan
    below = np.searchsorted(of_negative, of_positive, "left")
    up_to = np.searchsorted(of_negative, of_positive, "right")
    return float((below + up_to).mean() / 2 / len(of_negative))


def mean_absolute_error(numbers: Numbers, targets: Numbers) -> float:
    """The mean distance from the target."""
    return float(np.abs(numbers - targets).mean())


def brier(probabilities: Numbers, targets: Numbers) -> float:
    """The mean squared distance from the target, which is 0, 1 or a probability."""
    return float(((probabilities - targets) ** 2).mean())


def brier_of_constant(targets: Numbers) -> float:
    """The Brier score of the best constant in hindsight, which is the mean."""
    return float(targets.var())


@dataclass(frozen=True)
class Bin:
    """A point of the reliability diagram: rows whose probability lies from `low` to `high`, how many they are, the mean
    of their probabilities, and the mean of what came true."""

    low: float
    high: float
    count: int
    said: float
    true: float


def reliability(probabilities: Numbers, targets: Numbers) -> list[Bin]:
    """The bins that hold rows, by ascending probability. A probability on a bound belongs to the upper bin, 1 to the
    last."""
    places = np.clip((probabilities * BINS).astype(int), 0, BINS - 1)
    bins = []
    for place in np.unique(places):
        own = places == place
        said, true = float(probabilities[own].mean()), float(targets[own].mean())
        bins.append(Bin(float(place / BINS), float((place + 1) / BINS), int(own.sum()), said, true))
    return bins


def calibration_error(probabilities: Numbers, targets: Numbers) -> float:
    """Expected calibration error: the mean distance of the diagram's points from the diagonal, weighted by rows."""
    bins = reliability(probabilities, targets)
    return sum(each.count * abs(each.said - each.true) for each in bins) / len(targets)

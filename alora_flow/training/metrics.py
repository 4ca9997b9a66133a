"""How good answers, numbers and probabilities are: plain functions of arrays with one entry a row.

`weights`, `[draws, rows]`, says how often each row counts in each of many draws, so that all draws of an interval are
computed together; `once` counts every row once. Each figure is `[draws]`, not a number where it is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 10
"""Of equal width, from 0 to 1."""


def once(rows: int) -> Numbers:
    """One draw, with every row once."""
    return np.ones((1, rows))


def error(taken: Indices, right: Indices, weights: Numbers) -> Numbers:
    """The share of rows whose answer is not the right one."""
    return mean((taken != right).astype(float), weights)


def macro_f1(taken: Indices, right: Indices, weights: Numbers) -> Numbers:
    """The mean of F1 over the classes that rows have or were given."""
    names = np.union1d(taken, right)
    said, true = (weights @ (each[:, None] == names) for each in (taken, right))  # [draws, classes]
    hits = weights @ ((taken[:, None] == names) & (right[:, None] == names))
    scores = _quotient(2 * hits, said + true)
    there = np.isfinite(scores)
    return _quotient(np.where(there, scores, 0).sum(1), there.sum(1))


def auroc(scores: Numbers, positive: Flags, weights: Numbers) -> Numbers:
    """How often a positive row has more than a negative one, ties by half."""
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan))  # of rows with one score: a nan differs from all
    sums = [np.add.reduceat(weights[:, order] * kind[order], starts, axis=1) for kind in (positive, ~positive)]
    of_positive, of_negative = sums
    below = of_negative.cumsum(1) - of_negative / 2
    return _quotient((of_positive * below).sum(1), of_positive.sum(1) * of_negative.sum(1))


def mean_absolute_error(numbers: Numbers, targets: Numbers, weights: Numbers) -> Numbers:
    """The mean distance from the target."""
    return mean(np.abs(numbers - targets), weights)


def brier(probabilities: Numbers, targets: Numbers, weights: Numbers) -> Numbers:
    """The mean squared distance from the target, which is 0, 1 or a probability."""
    return mean((probabilities - targets) ** 2, weights)


def brier_of_constant(targets: Numbers, weights: Numbers) -> Numbers:
    """The Brier score of the best constant in hindsight, which is the mean: the variance."""
    return mean(targets**2, weights) - mean(targets, weights) ** 2


def calibration_error(probabilities: Numbers, targets: Numbers, weights: Numbers) -> Numbers:
    """Expected calibration error: the mean distance of the diagram's points from the diagonal, weighted by rows."""
    member = _bins(probabilities)[:, None] == np.arange(BINS)
    gaps = weights @ (member * (probabilities - targets)[:, None])  # [draws, bins], each times its rows
    return _quotient(np.abs(gaps).sum(1), weights.sum(1))


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
    places, bins = _bins(probabilities), []
    for place in np.unique(places):
        own = places == place
        said, true = float(probabilities[own].mean()), float(targets[own].mean())
        bins.append(Bin(float(place / BINS), float((place + 1) / BINS), int(own.sum()), said, true))
    return bins


def mean(values: Numbers, weights: Numbers) -> Numbers:
    """Of each draw."""
    return _quotient(weights @ values, weights.sum(1))


def _bins(probabilities: Numbers) -> Indices:
    return np.clip((probabilities * BINS).astype(np.int64), 0, BINS - 1)


def _quotient(part: Numbers, whole: Numbers) -> Numbers:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = np.where(whole > 0, part / whole, np.nan)
    return found

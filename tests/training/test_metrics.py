"""Figures against their definitions, written out row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_flow.training import metrics
from alora_flow.training.bootstrap import Estimate, with_intervals

PROBABILITIES = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0])
ROWS = st.lists(st.tuples(PROBABILITIES, st.booleans()), min_size=1, max_size=40)
LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def columns(rows: list[tuple[float, bool]]) -> tuple[metrics.Numbers, metrics.Numbers]:
    return np.array([p for p, _ in rows]), np.array([float(true) for _, true in rows])


def plain(figure: Callable[..., metrics.Numbers], *rows: Any) -> float:
    """Of every row once."""
    return float(figure(*rows, metrics.once(len(rows[0])))[0])


@settings(deadline=None)
@given(LABELS)
def test_error_and_macro_f1(rows: list[tuple[int, int]]) -> None:
    taken, right = np.array([a for a, _ in rows]), np.array([b for _, b in rows])
    assert plain(metrics.error, taken, right) == pytest.approx(sum(a != b for a, b in rows) / len(rows))
    scores = []
    for label in {part for row in rows for part in row}:
        both = sum(a == b == label for a, b in rows)
        said, true = sum(a == label for a, _ in rows), sum(b == label for _, b in rows)
        precision, recall = both / said if said else 0, both / true if true else 0
        scores.append(2 * precision * recall / (precision + recall) if both else 0)
    assert plain(metrics.macro_f1, taken, right) == pytest.approx(sum(scores) / len(scores))


@settings(deadline=None)
@given(ROWS)
def test_auroc_counts_pairs_and_ties_by_half(rows: list[tuple[float, bool]]) -> None:
    scores, targets = columns(rows)
    found = plain(metrics.auroc, scores, targets == 1)
    pairs = [(p, q) for p, yes in rows if yes for q, no in rows if not no]
    if not pairs:
        assert isnan(found)
    else:
        assert found == pytest.approx(sum((p > q) + (p == q) / 2 for p, q in pairs) / len(pairs))


@settings(deadline=None)
@given(ROWS)
def test_distances(rows: list[tuple[float, bool]]) -> None:
    said, true = columns(rows)
    n, mean = len(rows), sum(t for _, t in rows) / len(rows)
    assert plain(metrics.mean_absolute_error, said, true) == pytest.approx(sum(abs(p - t) for p, t in rows) / n)
    assert plain(metrics.brier, said, true) == pytest.approx(sum((p - t) ** 2 for p, t in rows) / n)
    assert plain(metrics.brier_of_constant, true) == pytest.approx(sum((mean - t) ** 2 for _, t in rows) / n, abs=1e-12)


@settings(deadline=None)
@given(ROWS)
def test_calibration_error_over_ten_bins(rows: list[tuple[float, bool]]) -> None:
    said, true = columns(rows)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, t in rows:
        bins.setdefault(min(int(p * 10), 9), []).append((p, t))
    gaps = [abs(sum(p for p, _ in own) - sum(t for _, t in own)) for own in bins.values()]
    assert plain(metrics.calibration_error, said, true) == pytest.approx(sum(gaps) / len(rows))
    points = metrics.reliability(said, true)
    assert [point.count for point in points] == [len(bins[place]) for place in sorted(bins)]
    assert all(point.low - 1e-12 <= point.said <= point.high + 1e-12 for point in points)


@settings(deadline=None)
@given(ROWS, st.data())
def test_a_weight_counts_a_row_so_often(rows: list[tuple[float, bool]], data: st.DataObject) -> None:
    """Every figure of two draws is that of the rows repeated."""
    said, true = columns(rows)
    counts = st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)
    drawn = np.array([data.draw(counts), data.draw(counts)])
    classes = (np.round(said).astype(int), true.astype(int))
    figures: list[tuple[Callable[..., metrics.Numbers], tuple[Any, ...]]] = [
        (metrics.error, classes),
        (metrics.macro_f1, classes),
        (metrics.auroc, (said, true == 1)),
        (metrics.mean_absolute_error, (said, true)),
        (metrics.brier, (said, true)),
        (metrics.brier_of_constant, (true,)),
        (metrics.calibration_error, (said, true)),
    ]
    for figure, given_rows in figures:
        repeated = [plain(figure, *(np.repeat(column, own) for column in given_rows)) for own in drawn]
        assert figure(*given_rows, drawn.astype(float)) == pytest.approx(repeated, abs=1e-9, nan_ok=True)


def heads(groups: Sequence[int], tosses: metrics.Numbers) -> Estimate:
    return with_intervals(lambda weights: {"heads": metrics.mean(tosses, weights)}, groups)["heads"]


def test_intervals_are_those_of_the_rows_and_repeat() -> None:
    """Of 400 tosses with 100 heads: the percentiles of a binomial."""
    tosses = np.array([1.0] * 100 + [0.0] * 300)
    found = heads(range(400), tosses)
    assert found.value == 0.25
    assert found.low == pytest.approx(0.2075, abs=0.01)
    assert found.high == pytest.approx(0.2925, abs=0.01)
    assert heads(range(400), tosses) == found


def test_rows_of_a_group_are_drawn_together() -> None:
    """Ten equal rows in each group say no more than one: the interval is that of 40 rows."""
    tosses = np.repeat([1.0] * 10 + [0.0] * 30, 10)
    grouped, single = heads(np.repeat(np.arange(40), 10).tolist(), tosses), heads(range(400), tosses)
    assert grouped.high - grouped.low > 2.5 * (single.high - single.low)


def test_an_interval_of_what_is_sometimes_undefined() -> None:
    scores, positive = np.array([0.1, 0.9, 0.8]), np.array([False, True, True])
    found = with_intervals(lambda weights: {"auroc": metrics.auroc(scores, positive, weights)}, range(3))["auroc"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    none = with_intervals(lambda weights: {"auroc": metrics.auroc(scores, positive | True, weights)}, range(3))
    assert isnan(none["auroc"].low)

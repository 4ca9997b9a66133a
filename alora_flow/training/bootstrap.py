"""95 % intervals of any figure, by drawing the rows again: rows of one group are drawn together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alora_flow.training.metrics import Indices, Numbers, once

DRAWS = 1000
SEED = 0
OUTER = (2.5, 97.5)
"""Percentiles."""

AT_ONCE = 1_000_000
"""Weights that are in memory together."""

WeighedFigures = Callable[[Numbers], Mapping[str, Numbers]]
"""From weights `[draws, rows]` to figures by name, `[draws]` each."""


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval in which 95 % of its values lie when rows are drawn again. Not a number where it is not
    defined, as AUROC is not for rows of one kind."""

    value: float
    low: float
    high: float


Estimates = Mapping[str, Estimate]
"""By name."""


def with_intervals(
    figures: WeighedFigures, groups: Sequence[Hashable], draws: int = DRAWS, seed: int = SEED
) -> dict[str, Estimate]:
    """Each figure with its interval. groups: of each row."""
    numbers: dict[Hashable, int] = {}
    places = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    random = np.random.default_rng(seed)
    portion = max(1, AT_ONCE // len(groups))
    parts = [
        figures(_weights(places, len(numbers), min(portion, draws - start), random))
        for start in range(0, draws, portion)
    ]
    found = {}
    for name, value in figures(once(len(groups))).items():
        values = np.concatenate([part[name] for part in parts])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, OUTER) if len(values) else (np.nan, np.nan)
        found[name] = Estimate(float(value[0]), float(low), float(high))
    return found


def _weights(places: Indices, groups: int, draws: int, random: np.random.Generator) -> Numbers:
    """As many groups as there are, each drawn from all of them. places: the number of each row's group."""
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    weights: Numbers = drawn[:, places].astype(float)
    return weights

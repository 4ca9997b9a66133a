"""95 % intervals of any figure, by drawing the rows again: rows of one group are drawn together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alora_flow.training.metrics import Indices

DRAWS = 1000
SEED = 0
OUTER = (2.5, 97.5)
"""Percentiles."""


@dataclass(frozen=True)
class Figure:
    """A figure and the interval in which 95 % of its values lie when rows are drawn again. Not a number where it is not
    defined, as AUROC is not for rows of one kind."""

    value: float
    low: float
    high: float


Figures = Mapping[str, Figure]
"""By name."""


def with_intervals(
    figures: Callable[[Indices], Mapping[str, float]], groups: Sequence[Hashable], draws: int = DRAWS, seed: int = SEED
) -> dict[str, Figure]:
    """Each figure of all rows, with its interval. figures: of the rows with these numbers. groups: of each row."""
    members = _members(groups)
    random = np.random.default_rng(seed)
    drawn = [figures(_drawn(members, random)) for _ in range(draws)]
    found = {}
    for name, value in figures(np.arange(len(groups))).items():
        values = np.array([each[name] for each in drawn])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, OUTER) if len(values) else (np.nan, np.nan)
        found[name] = Figure(value, float(low), float(high))
    return found


def _members(groups: Sequence[Hashable]) -> list[Indices]:
    """The numbers of each group's rows."""
    found: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        found.setdefault(group, []).append(index)
    return [np.array(rows, np.int64) for rows in found.values()]


def _drawn(members: Sequence[Indices], random: np.random.Generator) -> Indices:
    """As many groups as there are, each drawn from all of them."""
    chosen = random.integers(len(members), size=len(members))
    return np.concatenate([members[index] for index in chosen])

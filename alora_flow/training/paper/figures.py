"""What the adapters of a comparison answered, as figures over all seeds, with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alora_flow.training import metrics
from alora_flow.training.bootstrap import Estimate, with_intervals
from alora_flow.training.metrics import Indices, Numbers
from alora_flow.training.paper.design import Comparison, Variant


@dataclass(frozen=True, order=True)
class Machine:
    """What trained an adapter: the version of torch, and so many threads."""

    torch: str
    threads: int


@dataclass(frozen=True)
class Answers:
    """What one adapter answers to the test rows: the place of its label among the answers, and of the right one.
    scale: are the answers steps of one. groups: which rows are drawn together. minutes: that its training took on its
    machine."""

    taken: Indices
    right: Indices
    scale: bool
    groups: Sequence[Hashable]
    minutes: float
    machine: Machine


@dataclass(frozen=True)
class Line:
    """A variant's figures. difference: to the first variant of its comparison; None for that one. A scale's figures
    are distances, others errors. rows: that were asked. seeds: the figure of each."""

    variant: Variant
    scale: bool
    figure: Estimate
    rows: int
    seeds: tuple[float, ...]
    difference: Estimate | None
    minutes: float
    machines: frozenset[Machine]


def lines(comparison: Comparison, answers: Mapping[tuple[Variant, int], Answers], seeds: Sequence[int]) -> list[Line]:
    """Of one comparison."""
    wrong = {variant: [_wrong(answers[variant, seed]) for seed in seeds] for variant in comparison.variants}
    any_one = answers[comparison.variants[0], seeds[0]]
    scale, groups = any_one.scale, any_one.groups
    first = np.mean(wrong[comparison.variants[0]], axis=0)

    def estimate(values: Numbers) -> Estimate:
        return with_intervals(lambda weights: {"": metrics.mean(values, weights)}, groups)[""]

    return [
        Line(
            variant,
            scale,
            estimate(np.mean(each, axis=0)),
            len(groups),
            tuple(float(values.mean()) for values in each),
            None if variant == comparison.variants[0] else estimate(np.mean(each, axis=0) - first),
            float(np.mean([answers[variant, seed].minutes for seed in seeds])),
            frozenset(answers[variant, seed].machine for seed in seeds),
        )
        for variant, each in wrong.items()
    ]


def _wrong(answers: Answers) -> Numbers:
    """Of each row: is it wrong, or by how many steps."""
    off: Numbers = np.abs(answers.taken - answers.right).astype(float)
    return off if answers.scale else off.clip(max=1)

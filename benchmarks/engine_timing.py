"""Timing next to a peer: jobs take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

Job = Callable[[], object]
Prepared = Callable[[], Job]
"""What is done before the clock starts; it returns what the clock is for."""


@dataclass(frozen=True)
class Times:
    """Seconds of several runs."""

    seconds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.seconds)

    def __str__(self) -> str:
        low, high = min(self.seconds) * 1e3, max(self.seconds) * 1e3
        return f"{self.middle * 1e3:.4g} ms ({low:.4g} … {high:.4g})"


def side_by_side(
    jobs: Mapping[str, Prepared], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Times]:
    """Each job once to warm up, then `repeats` rounds of all in turn."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    gc.collect()
    for _ in range(repeats + 1):
        for name, prepare in jobs.items():
            job = prepare()
            began = clock()
            job()
            taken[name].append(clock() - began)
    return {name: Times(tuple(seconds[1:])) for name, seconds in taken.items()}


def ratio(peer: Times, own: Times) -> Times:
    """How many times as long the peer takes, round by round."""
    return Times(tuple(theirs / ours for theirs, ours in zip(peer.seconds, own.seconds, strict=True)))


def spread(ratios: Times) -> str:
    """`2.31x (2.20 … 2.40)`."""
    return f"{ratios.middle:.2f}x ({min(ratios.seconds):.2f} … {max(ratios.seconds):.2f})"


@dataclass(frozen=True)
class Row:
    """A line of the table. `met`: whether the measured figure reaches the target; None where there is none."""

    figure: str
    target: str
    measured: str
    details: str = ""
    met: bool | None = None


def at_least(figure: str, target: float, peer: Times, own: Times, names: tuple[str, str]) -> Row:
    """The peer should take `target` times as long, or more."""
    found = ratio(peer, own)
    details = f"{names[0]} {peer}, {names[1]} {own}"
    return Row(figure, f"≥ {target:g}x", spread(found), details, found.middle >= target)


def at_most(figure: str, target: float, more: Times, less: Times, names: tuple[str, str]) -> Row:
    """`more` should take no more than `target` times as long as `less`."""
    found = ratio(more, less)
    details = f"{names[0]} {more}, {names[1]} {less}"
    return Row(figure, f"≤ {target:g}x", spread(found), details, found.middle <= target)


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = ["| figure | target | measured | met | details |", "|---|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {row.figure} | {row.target} | {row.measured} | {words[row.met]} | {row.details} |" for row in rows]
    return "\n".join(lines)

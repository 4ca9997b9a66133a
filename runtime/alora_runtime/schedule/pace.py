"""How much of the prompts fits into a step, by what steps have taken. Integers and floats only."""

from __future__ import annotations

import sys
from collections import deque
from math import isinf

FEW = 32
"""A step of fewer tokens says little of the speed; and the first prompt of a step gets so many, so that it gets on."""

KEPT = 8
"""Steps that are looked at. The slowest but one of them counts: a step should hardly ever take longer than it may, and
one that was held up by something else says nothing of the next."""


class Pace:
    """Work is counted in tokens at depth 0; one at some depth is `1 + depth / double` of them."""

    def __init__(self, seconds: float, guess: float, double: int) -> None:
        """seconds: what a step may take. guess: seconds of a token at depth 0, until any is measured."""
        self._seconds, self._guess, self._double = seconds, guess, double
        self._measured: deque[float] = deque(maxlen=KEPT)

    def note(self, work: float, seconds: float) -> None:
        """A step has taken so long."""
        if work >= FEW:
            self._measured.append(seconds / work)

    @property
    def work(self) -> float:
        """What fits into a step."""
        slowest = sorted(self._measured)[-2:] or [self._guess]
        return self._seconds / max(1e-12, slowest[0])

    def cost(self, start: int, end: int) -> float:
        """Of the tokens at positions `start` … `end - 1`."""
        return (end - start) * (1 + (start + end) / (2 * self._double))

    def reach(self, work: float, start: int) -> int:
        """How many tokens from position `start` on so much work is."""
        if work <= 0 or isinf(work):
            return 0 if work <= 0 else sys.maxsize
        about = work / (1 + start / self._double)
        return int(work / (1 + (start + about / 2) / self._double))


UNHURRIED = Pace(float("inf"), 1.0, 1)
"""Of one who does not look at the time."""

"""A number of tokens of which some are not known yet: `41 + |question|`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import takewhile

from alora_flow.frozen import dataclass
from alora_flow.prompts.contents import Hole, Symbol
from alora_flow.prompts.writing import Writing

NO_HOLES: Mapping[Hole, int] = {}


@dataclass(frozen=True)
class Amount:
    """`tokens` known ones, and for each hole how often its length is to be added."""

    tokens: int = 0
    holes: Mapping[Hole, int] = field(default_factory=lambda: NO_HOLES)

    @property
    def known(self) -> bool:
        return not self.holes

    def __add__(self, other: Amount) -> Amount:
        if not other.holes:
            return Amount(self.tokens + other.tokens, self.holes)
        holes = dict(self.holes)
        for hole, count in other.holes.items():
            holes[hole] = holes.get(hole, 0) + count
        return Amount(self.tokens + other.tokens, holes)

    def __sub__(self, other: Amount) -> Amount:
        """What is left of an amount without a part of it."""
        if not other.holes:
            return Amount(self.tokens - other.tokens, self.holes)
        holes = dict(self.holes)
        for hole, count in other.holes.items():
            holes[hole] -= count
            if not holes[hole]:
                del holes[hole]
        return Amount(self.tokens - other.tokens, holes)

    def __mul__(self, times: int) -> Amount:
        return Amount(self.tokens * times, {hole: count * times for hole, count in self.holes.items()})

    def __str__(self) -> str:
        holes = [f"{count}·|{hole.source}|" if count > 1 else f"|{hole.source}|" for hole, count in self.holes.items()]
        return " + ".join([str(self.tokens)] * (self.tokens > 0 or not holes) + holes)


def amount(symbols: Sequence[Symbol]) -> Amount:
    """How many tokens some symbols stand for."""
    holes = [symbol for symbol in symbols if isinstance(symbol, Hole)]
    return Amount(len(symbols) - len(holes), dict(Counter(holes)) if holes else NO_HOLES)


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum."""
    tokens, holes = 0, dict[Hole, int]()
    for each in amounts:
        tokens += each.tokens
        for hole, count in each.holes.items():
            holes[hole] = holes.get(hole, 0) + count
    return Amount(tokens, holes)


class Amounts:
    """The amounts of writings, each of which is the one before it and some symbols more."""

    def __init__(self) -> None:
        self._known: dict[Writing, Amount] = {}

    def of(self, writing: Writing) -> Amount:
        """How many tokens a writing stands for."""
        new = list(takewhile(lambda part: part not in self._known, writing.parts()))
        for part in reversed(new):
            own = amount(part.own)
            self._known[part] = self._known[part.before] + own if part.before else own
        return self._known[writing]

    def total(self, writings: Iterable[Writing]) -> Amount:
        """The sum of the amounts of writings that were asked for: what each part adds, as often as one holds it."""
        counts = Counter(writings)
        for part in reversed(self._known):  # it comes after what stands before it
            if part.before:
                counts[part.before] += counts[part]
        return total(amount(part.own) * counts[part] for part in self._known)

"""A number of tokens of which some are not known yet: `41 + |question|`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alora_flow.prompts.contents import Hole, Symbol


@dataclass(frozen=True)
class Amount:
    """`tokens` known ones, and for each hole how often its length is to be added."""

    tokens: int = 0
    holes: Mapping[Hole, int] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        return not self.holes

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, dict(Counter(self.holes) + Counter(other.holes)))

    def __str__(self) -> str:
        holes = [f"{count}·|{hole.source}|" if count > 1 else f"|{hole.source}|" for hole, count in self.holes.items()]
        return " + ".join([str(self.tokens)] * (self.tokens > 0 or not holes) + holes)


def amount(symbols: Iterable[Symbol]) -> Amount:
    """How many tokens some symbols stand for."""
    counts = Counter(symbol if isinstance(symbol, Hole) else None for symbol in symbols)
    known = counts.pop(None, 0)
    return Amount(known, {hole: count for hole, count in counts.items() if hole is not None})


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum."""
    return sum(amounts, Amount())

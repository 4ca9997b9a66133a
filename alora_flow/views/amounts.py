"""Numbers of tokens in print: `41 + |question|`, with short names for what is not known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from alora_flow.planning.prefix.amounts import Amount
from alora_flow.planning.prefix.plan import PrefixPlan
from alora_flow.prompts.contents import Hole
from alora_flow.views.drawing import shorten, tidy

SHORT = re.compile(r"[\w.\[\]]{1,12}")
"""What may stand between bars as it is; a longer name gets a letter, which a line under the table explains."""

MOST_TERMS = 12
"""Unknown lengths in one number; of a sum of more the rest is counted."""


class Notation:
    """Names for the holes of a plan. What has been shown is explained."""

    def __init__(self, plan: PrefixPlan) -> None:
        sources = list(dict.fromkeys(hole.source for hole in _holes(plan)))
        long = [source for source in sources if not SHORT.fullmatch(source)]
        letters = {source: f"#{number}" for number, source in enumerate(long, start=1)}
        self._names = {source: letters.get(source, source) for source in sources}
        self._letters = letters
        self._shown: set[str] = set()
        self._bounds = {hole.source: hole.at_most for hole in _holes(plan) if hole.at_most is not None}

    def show(self, amount: Amount) -> str:
        """`41 + 2·|question|`"""
        return " + ".join(self._terms(amount))

    def stack(self, amount: Amount, width: int = 16) -> str:
        """The same in lines of about this width, none broken inside a term."""
        first, *rest = self._terms(amount)
        lines = [first]
        for term in rest:
            if len(lines[-1]) + len(term) + 3 <= width:
                lines[-1] += f" + {term}"
            else:
                lines.append(f"+ {term}")
        return "\n".join(lines)

    def _terms(self, amount: Amount) -> list[str]:
        shown = list(amount.holes.items())
        more = len(shown) - MOST_TERMS
        if more > 1:
            shown = shown[:MOST_TERMS]
        self._shown.update(hole.source for hole, _ in shown)
        holes = [f"{f'{count}·' if count > 1 else ''}|{self._names[hole.source]}|" for hole, count in shown]
        terms = [str(amount.tokens)] * (amount.tokens > 0 or not holes) + holes
        return [*terms, f"{more} more lengths"] if more > 1 else terms

    def explained(self) -> Iterator[str]:
        """Lines for under a table; none where every number is known."""
        if self._shown:
            known = {source: most for source, most in self._bounds.items() if source in self._shown}
            bounds = [f"|{self._names[source]}| ≤ {most}" for source, most in known.items()]
            told = f" ({', '.join(bounds)})" if bounds else ""
            yield f"|x| is the number of tokens of x, which is not known before the run{told}."
        for source, letter in self._letters.items():
            if source in self._shown:
                yield f"{letter}: {shorten(tidy(source), 72)}"


def _holes(plan: PrefixPlan) -> Iterable[Hole]:
    amounts = [plan.no_reuse, *(call.reused for call in plan.calls), *(call.prefilled for call in plan.calls)]
    amounts += [one.computed for call in plan.calls for one in (call.own.calls if call.own else ())]
    return dict.fromkeys(hole for amount in amounts for hole in amount.holes)


def difference(more: Amount, less: Amount) -> Amount | None:
    """`more - less`, or None where a part of it is negative, so that nobody can say what is saved."""
    tokens = more.tokens - less.tokens
    holes = {hole: more.holes.get(hole, 0) - less.holes.get(hole, 0) for hole in {**more.holes, **less.holes}}
    if tokens < 0 or any(count < 0 for count in holes.values()):
        return None
    return Amount(tokens, {hole: count for hole, count in holes.items() if count})


def saved_share(instead: Amount, prefilled: Amount) -> float | None:
    """Which part of the tokens to prefill the plan saves; None where that is not known, negative where it adds some."""
    if not (instead.known and prefilled.known and instead.tokens):
        return None
    return 1 - prefilled.tokens / instead.tokens


def least_share(instead: Amount, prefilled: Amount) -> float | None:
    """Which part the plan saves at least, whatever the lengths turn out to be; None where nothing can be said.

    A fraction of two sums is at most the largest of the fractions of their terms.
    """
    pairs = [(prefilled.tokens, instead.tokens)]
    pairs += [(prefilled.holes.get(h, 0), instead.holes.get(h, 0)) for h in {**instead.holes, **prefilled.holes}]
    pairs = [(part, whole) for part, whole in pairs if part or whole]
    if not pairs or any(not whole for _, whole in pairs):
        return None
    return 1 - max(part / whole for part, whole in pairs)

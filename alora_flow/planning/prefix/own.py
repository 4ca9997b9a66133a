"""What the calls cost that a model makes while it writes: each one, all that it may make, and one of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alora_flow.language.meaning.program import MayInvoke
from alora_flow.planning.prefix.amounts import Amount, total

if TYPE_CHECKING:
    from alora_flow.planning.callees import Invocable, OwnCalls


@dataclass(frozen=True)
class PlannedOwnCall:
    """One call, in tokens. adapter: None for a tool, whose arguments the model writes itself. prefilled: of its
    invocation, what the caller has not computed by writing it; generated: the most that is answered; returned: the
    most that is computed of both to go on, and of the turn in which a tool's result comes back."""

    name: str
    adapter: str | None
    prefilled: int
    generated: int
    returned: Amount

    @property
    def computed(self) -> Amount:
        """Prompt tokens, of the call and of going on."""
        return Amount(self.prefilled) + self.returned


@dataclass(frozen=True)
class PlannedOwnCalls:
    """All calls that one answer may take: `budget` at most, with those that are called in turn."""

    calls: tuple[PlannedOwnCall, ...]
    budget: int

    @property
    def prefilled_at_most(self) -> Amount:
        """Each time what costs most; of what is not known, everything."""
        every = dict.fromkeys(hole for call in self.calls for hole in call.computed.holes)
        holes = {hole: max(call.computed.holes.get(hole, 0) for call in self.calls) for hole in every}
        return Amount(max((call.computed.tokens for call in self.calls), default=0), holes) * self.budget

    @property
    def generated_at_most(self) -> int:
        return self.budget * max((call.generated for call in self.calls), default=0)

    @property
    def requests_at_most(self) -> int:
        """Each call, and each time its caller goes on."""
        return 2 * self.budget

    @property
    def expected(self) -> tuple[Amount, int]:
        """Tokens to prefill and to write where each is called once, in turn, as long as the budget lasts."""
        once = self.calls[: self.budget]
        return total(call.computed for call in once), sum(call.generated for call in once)


def planned_own(own: OwnCalls) -> PlannedOwnCalls:
    """What is known before a run: all of it, but how often the model will call."""
    return PlannedOwnCalls(tuple(_planned(one, own) for one in own.invocables), own.may.budget)


def _planned(one: Invocable, own: OwnCalls) -> PlannedOwnCall:
    length, active_at = len(one.tokens), one.active_at
    last = int(one.contract is not None and active_at < length)  # written; not computed as the caller's by the call
    kept = any("keep" in _backs(one.key, may) for may in own.callers_of(one.key))
    # A tool's arguments are computed as they are written, but perhaps for the last token; its invocation is not where
    # other tokens spelt it.
    returned = Amount(last + one.form.most_tokens if one.contract else 1) + one.turned if kept else Amount()
    prefilled = length - min(active_at, length - 1) if one.contract or not one.exact else 1
    name = one.contract.name if one.contract else None
    return PlannedOwnCall(one.key, name, prefilled, one.form.most_tokens, returned)


def _backs(key: str, may: MayInvoke) -> set[str]:
    """How a model may go on after a call."""
    backs: set[str] = set()
    for clause in may.clauses:
        if clause.callee.key == key:
            backs.add(clause.action)
            if clause.condition is None:
                return backs
    return {*backs, "keep"}

"""What the calls cost that a model makes while it writes: each one, all that it may make, and one of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alora_flow.language.meaning.program import MayInvoke

if TYPE_CHECKING:
    from alora_flow.planning.callees import Invocable, OwnCalls


@dataclass(frozen=True)
class PlannedOwnCall:
    """One call of an intrinsic, in tokens. prefilled: of its invocation, what the generation has not computed by
    writing it; generated: the most that it answers; returned: the most that is computed of both to go on."""

    name: str
    adapter: str
    prefilled: int
    generated: int
    returned: int

    @property
    def computed(self) -> int:
        """Prompt tokens, of the call and of going on."""
        return self.prefilled + self.returned


@dataclass(frozen=True)
class PlannedOwnCalls:
    """All calls that one generation may make: `budget` at most."""

    calls: tuple[PlannedOwnCall, ...]
    budget: int

    @property
    def prefilled_at_most(self) -> int:
        return self.budget * max(call.computed for call in self.calls)

    @property
    def generated_at_most(self) -> int:
        return self.budget * max(call.generated for call in self.calls)

    @property
    def requests_at_most(self) -> int:
        """Each call, and each time the generation goes on."""
        return 2 * self.budget

    @property
    def expected(self) -> tuple[int, int]:
        """Tokens to prefill and to write where each is called once, in turn, as long as the budget lasts."""
        once = self.calls[: self.budget]
        return sum(call.computed for call in once), sum(call.generated for call in once)


def planned_own(own: OwnCalls) -> PlannedOwnCalls:
    """What is known before a run: all of it, but how often the model will call."""
    return PlannedOwnCalls(tuple(_planned(one, own.may) for one in own.invocables), own.may.budget)


def _planned(one: Invocable, may: MayInvoke) -> PlannedOwnCall:
    length, active_at = len(one.tokens), one.contract.active_at
    last = int(active_at < length)  # written, and not computed: unless the call has computed it as the base's
    returned = last + one.form.most_tokens if "keep" in _backs(one, may) else 0
    name, most = one.intrinsic.key, one.form.most_tokens
    return PlannedOwnCall(name, one.contract.name, length - min(active_at, length - 1), most, returned)


def _backs(one: Invocable, may: MayInvoke) -> set[str]:
    """How the model may go on after a call."""
    backs: set[str] = set()
    for clause in may.clauses:
        if clause.callee.key == one.intrinsic.key:
            backs.add(clause.action)
            if clause.condition is None:
                return backs
    return {*backs, "keep"}

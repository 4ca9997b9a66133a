"""Budgets: the worst case of a flow against its limits, before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from alora_flow.errors import BudgetTooSmall
from alora_flow.planning.graph.nodes import Budget, Guard, Invoke, Path
from alora_flow.planning.prefix.plan import PlannedCall, PrefixPlan, plan
from alora_flow.planning.schedule import Schedule

Spending = Mapping[str, float]
"""Resource of `settings.BUDGET` → how much; a resource whose worst case is not known is missing."""


def spending(call: PlannedCall) -> Spending:
    """The most that one planned call can spend."""
    own, invoked = call.own, isinstance(call.node.operation, Invoke)
    generated = call.generated_at_most + (call.tries * own.generated_at_most if own else 0)
    known: dict[str, float] = {
        "calls": call.tries * (1 + own.requests_at_most if own else 1),
        "invokes": call.tries * (invoked + (own.budget if own else 0)),
        "generated": generated,
    }
    prefilled = call.prefilled + own.prefilled_at_most * call.tries if own else call.prefilled
    if prefilled.known:
        known["prefill"] = prefilled.tokens
        known["tokens"] = known["prefill"] + generated
    return known


def within_budgets(scheduled: Schedule) -> PrefixPlan:
    """The plan of a schedule. Raises BudgetTooSmall where a limit can be broken and the plan knows it."""
    made = plan(scheduled)
    for budget in scheduled.graph.budgets:
        _check(budget, made)
    return made


def _check(budget: Budget, made: PrefixPlan) -> None:
    calls = [call for call in made.calls if call.node.id.startswith(budget.prefix)]
    for limit in budget.limits:
        amounts = [spending(call).get(limit.resource) for call in calls]
        if limit.resource == "wall" or None in amounts:
            continue
        spent = [(call, amount) for call, amount in zip(calls, amounts, strict=True) if amount is not None]
        worst = worst_case((call.node.guards, amount) for call, amount in spent)
        if worst > limit.amount:
            raise BudgetTooSmall(*_explain(budget, limit.resource, limit.amount, worst, spent))


def _explain(
    budget: Budget, resource: str, limit: float, worst: float, spent: Sequence[tuple[PlannedCall, float]]
) -> tuple[str, str]:
    most = sorted(((amount, call.node.id) for call, amount in spent if amount), reverse=True)[:5]
    return (
        f"flow '{budget.flow}' may spend {worst:g} {resource} in its worst case, and its budget is {limit:g}: "
        + ", ".join(f"{node_id} {amount:g}" for amount, node_id in most),
        f"raise the budget to {resource} <= {worst:g}, or lower max_tokens, limits and rounds",
    )


@dataclass
class _Case:
    """What is spent under one path of guards, and the cases that further conditions open."""

    own: float = 0.0
    conditions: dict[str, dict[bool, _Case]] = field(default_factory=dict)

    def worst(self) -> float:
        """Of each condition only one side is taken."""
        return self.own + sum(max(case.worst() for case in sides.values()) for sides in self.conditions.values())


def worst_case(amounts: Iterable[tuple[Path, float]]) -> float:
    """The most that amounts under guards add up to: both sides of one condition never count together."""
    root = _Case()
    for path, amount in amounts:
        case = root
        for guard in path:
            case = _under(case, guard)
        case.own += amount
    return root.worst()


def _under(case: _Case, guard: Guard) -> _Case:
    return case.conditions.setdefault(guard.condition, {}).setdefault(guard.holds, _Case())

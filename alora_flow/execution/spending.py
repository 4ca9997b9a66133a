"""Budgets while a run goes on: what is spent so far, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alora_flow.errors import BudgetSpent
from alora_flow.planning.graph.nodes import Budget, Invoke, Node
from alora_runtime.requests import Completion

COSTS: dict[str, Callable[[Node, Completion], int]] = {
    "calls": lambda node, done: 1,
    "invokes": lambda node, done: isinstance(node.operation, Invoke),
    "generated": lambda node, done: done.generated + done.forced,
    "prefill": lambda node, done: done.prefilled,
    "tokens": lambda node, done: done.prefilled + done.generated + done.forced,
}
"""Resources of `settings.BUDGET` that are counted by call; `wall` is seconds since the run began."""


def check_spending(budgets: Sequence[Budget], done: Sequence[tuple[Node, Completion]], seconds: float) -> None:
    """Raises BudgetSpent for the first limit that is broken."""
    for budget in budgets:
        calls = [(node, one) for node, one in done if node.id.startswith(budget.prefix)]
        for limit in budget.limits:
            if limit.resource == "wall":
                spent, by = seconds, "since it began"
            else:
                costs = [(COSTS[limit.resource](node, one), node.id) for node, one in calls]
                spent = sum(cost for cost, _ in costs)
                by = ", ".join(f"{node_id} {cost}" for cost, node_id in sorted(costs, reverse=True)[:5])
            if spent > limit.amount:
                unit = "s" if limit.resource == "wall" else limit.resource
                raise BudgetSpent(
                    f"flow '{budget.flow}' spent {spent:g} {unit} of its budget of {limit.amount:g}: {by}"
                )

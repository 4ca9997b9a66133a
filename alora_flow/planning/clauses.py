"""What a flow's clauses say of a call that a model has made itself."""

from __future__ import annotations

from typing import Any

from alora_flow.language.meaning.program import Binding, Expression, Literal, MayInvoke, Reference
from alora_flow.planning.evaluate import Values, evaluate
from alora_flow.planning.graph.walk import mapped
from alora_runtime.calls.records import Return


def back(may: MayInvoke, called: str, value: Any, values: Values) -> Return:
    """How a model goes on that has called: the first clause that fits decides. Raises RunFailed where its condition
    can't."""
    for clause in may.clauses:
        if clause.callee.key != called:
            continue
        if clause.condition is None or evaluate(_filled(clause.condition, clause.binding, value), values):
            return clause.action
    return "keep"


def _filled(condition: Expression, binding: Binding | None, value: Any) -> Expression:
    """The condition with a call's value in place of the name that the clause gives it."""
    if isinstance(condition, Reference) and condition.binding == binding:
        return Literal(condition.type, condition.span, value)
    return mapped(condition, lambda inner: _filled(inner, binding, value))

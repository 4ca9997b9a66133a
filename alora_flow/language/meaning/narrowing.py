"""What a condition says about the names in it: `r is Refusal`, `x != none`, `not …`, `… and …`."""

from __future__ import annotations

from alora_flow.language.meaning.program import Binary, Expression, IsTest, Literal, Reference, Unary
from alora_flow.language.meaning.types import ERROR, NEVER, NONE, ErrorType, Type, alternatives, assignable, union

Facts = dict[int, Type]


def facts(condition: Expression, holds: bool) -> Facts:
    """Narrower types of bindings, by id, where the condition is true (or false); unknown ones after a faulty test."""
    match condition:
        case IsTest(operand=Reference() as name, tested=ErrorType()):
            return {name.binding.id: ERROR}
        case IsTest(operand=Reference() as name):
            return {name.binding.id: narrowed(name.type, condition.tested, holds != condition.negated)}
        case Unary(operator="not"):
            return facts(condition.operand, not holds)
        case Binary(operator="==" | "!=", left=Reference() as name, right=Literal(value=None)):
            return {name.binding.id: narrowed(name.type, NONE, holds == (condition.operator == "=="))}
        case Binary(operator="and" | "or"):
            if holds == (condition.operator == "and"):
                return facts(condition.left, holds) | facts(condition.right, holds)
    return {}


def narrowed(type: Type, tested: Type, positive: bool) -> Type:
    """The part of `type` that is (or is not) of the tested type."""
    kept: list[Type] = []
    for part in alternatives(type):
        inside = assignable(part, tested)
        if positive and not inside:
            kept += [wanted for wanted in alternatives(tested) if assignable(wanted, part)]
        elif inside == positive:
            kept.append(part)
    return union(kept) if kept else NEVER

"""What a condition says about names and their fields: `r is Refusal`, `p.name != none`, `not …`, `… and …`."""

from __future__ import annotations

from alora_flow.language.meaning.program import (
    Binary,
    Expression,
    FieldAccess,
    Index,
    IsTest,
    Literal,
    Reference,
    Text,
    Unary,
)
from alora_flow.language.meaning.relations import assignable, union
from alora_flow.language.meaning.types import ERROR, NEVER, NONE, ErrorType, Type, alternatives

Path = tuple[int | str, ...]
"""A value that keeps its type, since nothing changes: a binding by its id, then the fields and elements read of it."""
Facts = dict[Path, Type]


def path_of(expression: Expression) -> Path | None:
    """`p`, `p.name`, `p.lines[0].text`; None for what may be another value each time it is written."""
    match expression:
        case Reference(binding=binding):
            return (binding.id,)
        case FieldAccess(target=target, name=name):
            inner = path_of(target)
            return None if inner is None else (*inner, name)
        case Index(target=target, index=Literal(value=int() as index)):
            inner = path_of(target)
            return None if inner is None else (*inner, f"[{index}]")
        case Index(target=target, index=Text(constant=str() as key)):
            inner = path_of(target)
            return None if inner is None else (*inner, f"[{key!r}]")
    return None


def facts(condition: Expression, holds: bool) -> Facts:
    """Narrower types of values where the condition is true (or false); unknown ones after a faulty test."""
    match condition:
        case IsTest(tested=ErrorType()):
            return _fact(condition.operand, ERROR)
        case IsTest():
            return _fact(
                condition.operand, narrowed(condition.operand.type, condition.tested, holds != condition.negated)
            )
        case Unary(operator="not"):
            return facts(condition.operand, not holds)
        case Binary(operator="==" | "!="):
            same = holds == (condition.operator == "==")
            return _equal(condition.left, condition.right, same) | _equal(condition.right, condition.left, same)
        case Binary(operator="and" | "or"):
            if holds == (condition.operator == "and"):
                return facts(condition.left, holds) | facts(condition.right, holds)
    return {}


def _fact(expression: Expression, type: Type) -> Facts:
    path = path_of(expression)
    return {} if path is None else {path: type}


def _equal(expression: Expression, other: Expression, same: bool) -> Facts:
    """What equals `none` is none, what equals anything else is not."""
    if other.type == NONE:
        return _fact(expression, narrowed(expression.type, NONE, same))
    if same and NONE in alternatives(expression.type) and NONE not in alternatives(other.type):
        return _fact(expression, narrowed(expression.type, NONE, False))
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

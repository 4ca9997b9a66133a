"""Constants: which expressions are, and what they come to."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any

from alora_flow.language.meaning.program import (
    Binary,
    DocumentValue,
    EnumMember,
    Expression,
    ListValue,
    Literal,
    MapValue,
    RecordValue,
    Text,
    Unary,
)
from alora_flow.language.meaning.types import STR
from alora_flow.language.report.source import Span

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def fold(expression: Expression) -> Expression | None:
    """The constant that this comes to, None when it is none."""
    match expression:
        case Literal() | EnumMember():
            return expression
        case Text():
            return expression if expression.constant is not None else None
        case ListValue():
            items = _all(expression.items)
            return None if items is None else replace(expression, items=items)
        case RecordValue():
            values = _all(tuple(value for _, value in expression.fields))
            names = [name for name, _ in expression.fields]
            return None if values is None else replace(expression, fields=tuple(zip(names, values, strict=True)))
        case MapValue():
            values = _all(tuple(value for _, value in expression.entries))
            keys = [key for key, _ in expression.entries]
            return None if values is None else replace(expression, entries=tuple(zip(keys, values, strict=True)))
        case DocumentValue():
            return expression if _all((expression.text, expression.title)) is not None else None
        case Unary(operator="not", operand=operand):
            inner = fold(operand)
            return replace(inner, value=not inner.value) if isinstance(inner, Literal) else None
        case Binary():
            return _binary(expression)
    return None


def folded(constant: Expression, span: Span) -> Expression:
    """A constant where its name is used."""
    return replace(constant, span=span)


def constant_text(constant: Expression) -> str | None:
    return constant.constant if isinstance(constant, Text) else None


def _all(items: tuple[Expression, ...]) -> tuple[Expression, ...] | None:
    found = [fold(item) for item in items]
    kept = tuple(item for item in found if item is not None)
    return kept if len(kept) == len(found) else None


def _binary(expression: Binary) -> Expression | None:
    left, right = fold(expression.left), fold(expression.right)
    if isinstance(left, Text) and isinstance(right, Text) and expression.operator == "+":
        joined = (left.constant or "") + (right.constant or "")
        return Text(STR, expression.span, (joined,) if joined else ())
    operation = OPERATIONS.get(expression.operator)
    if operation is None or not (isinstance(left, Literal) and isinstance(right, Literal)):
        return None
    try:
        value = operation(left.value, right.value)
    except (ArithmeticError, TypeError):
        return None
    beyond = isinstance(value, float) and not isfinite(value)
    return None if beyond else Literal(expression.type, expression.span, value)

"""Types of operators. Numbers carry their ranges along: `expected(10 * it + 5) / 100` is a float[0.05..0.95]."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from alora_flow.language.meaning.relations import assignable, is_data, join, union
from alora_flow.language.meaning.types import (
    BOOL,
    FLOAT,
    INT,
    STR,
    BoolType,
    FloatType,
    IntType,
    ListType,
    MapType,
    NumberedType,
    OptionalType,
    PairType,
    StrType,
    Type,
    UnionType,
    alternatives,
)

Number = IntType | FloatType
Bounds = tuple[float, float]


def binary_type(operator: str, left: Type, right: Type) -> Type | None:
    """Result of an operator, None when it does not take these types. (`+` of threads is not here.)"""
    if operator in ARITHMETIC and isinstance(left, Number) and isinstance(right, Number):
        return _arithmetic(operator, left, right)
    return RULES[operator](left, right) if operator in RULES else None


def never(operator: str, left: Type, right: Type) -> bool:
    """Can this comparison of two numbers never hold, since their ranges are apart?"""
    if not (isinstance(left, Number) and isinstance(right, Number)) or operator not in APART:
        return False
    return APART[operator](_bounds(left), _bounds(right))


APART: dict[str, Callable[[Bounds, Bounds], bool]] = {
    "==": lambda left, right: left[1] < right[0] or right[1] < left[0],
    "<": lambda left, right: left[0] >= right[1],
    "<=": lambda left, right: left[0] > right[1],
    ">": lambda left, right: left[1] <= right[0],
    ">=": lambda left, right: left[1] < right[0],
}


def negative_type(operand: Type) -> Type | None:
    if not isinstance(operand, Number):
        return None
    low, high = _bounds(operand)
    return _number(-high, -low, isinstance(operand, IntType))


def overlapping(left: Type, right: Type) -> bool:
    """Can a value of one equal a value of the other?"""
    return any(
        assignable(widened(one), widened(other)) or assignable(widened(other), widened(one))
        for one in alternatives(left)
        for other in alternatives(right)
    )


def widened(type: Type) -> Type:
    """Without the ranges of numbers: what a name may hold whose first value was a literal."""
    match type:
        case IntType():
            return INT
        case FloatType():
            return FLOAT
        case ListType():
            return ListType(widened(type.element))
        case MapType():
            return MapType(widened(type.value))
        case OptionalType():
            return union([OptionalType(widened(type.inner))])
        case UnionType():
            return union(map(widened, type.members))
        case NumberedType():
            return NumberedType(widened(type.value))
        case PairType():
            return PairType(widened(type.first), widened(type.second))
    return type


def _arithmetic(operator: str, left: Number, right: Number) -> Type:
    whole = isinstance(left, IntType) and isinstance(right, IntType) and operator != "/"
    return _number(*ARITHMETIC[operator](_bounds(left), _bounds(right)), whole)


def _corners(operation: Callable[[float, float], float]) -> Callable[[Bounds, Bounds], Bounds]:
    def bounds(left: Bounds, right: Bounds) -> Bounds:
        values = [operation(a, b) for a in left for b in right]
        return min(values), max(values)

    return bounds


def _times(a: float, b: float) -> float:
    return 0.0 if 0 in (a, b) else a * b


def _divided(left: Bounds, right: Bounds) -> Bounds:
    if right[0] <= 0 <= right[1]:
        return -inf, inf
    return _corners(lambda a, b: 0.0 if abs(a) == inf and abs(b) == inf else a / b)(left, right)


def _remainder(left: Bounds, right: Bounds) -> Bounds:
    if right[0] <= 0 or right[1] == inf:
        return -inf, inf
    return 0.0, right[1]


ARITHMETIC: dict[str, Callable[[Bounds, Bounds], Bounds]] = {
    "+": lambda left, right: (left[0] + right[0], left[1] + right[1]),
    "-": lambda left, right: (left[0] - right[1], left[1] - right[0]),
    "*": _corners(_times),
    "/": _divided,
    "%": _remainder,
}


def _bounds(type: Number) -> Bounds:
    return -inf if type.low is None else type.low, inf if type.high is None else type.high


def _number(low: float, high: float, whole: bool) -> Type:
    if whole:
        return IntType(None if low == -inf else int(low), None if high == inf else int(high))
    return FloatType(None if low == -inf else float(low), None if high == inf else float(high))


def _plus(left: Type, right: Type) -> Type | None:
    if isinstance(left, StrType) and isinstance(right, StrType):
        return STR
    if isinstance(left, ListType) and isinstance(right, ListType):
        return ListType(join([left.element, right.element]))
    return None


def _equal(left: Type, right: Type) -> Type | None:
    return BOOL if is_data(left) and is_data(right) and overlapping(left, right) else None


def _ordered(left: Type, right: Type) -> Type | None:
    numbers = isinstance(left, Number) and isinstance(right, Number)
    return BOOL if numbers or (isinstance(left, StrType) and isinstance(right, StrType)) else None


def _logical(left: Type, right: Type) -> Type | None:
    return BOOL if isinstance(left, BoolType) and isinstance(right, BoolType) else None


def _inside(left: Type, right: Type) -> Type | None:
    if isinstance(right, (StrType, MapType)):
        return BOOL if isinstance(left, StrType) else None
    return BOOL if isinstance(right, ListType) and overlapping(left, right.element) else None


def _otherwise(left: Type, right: Type) -> Type | None:
    return join([left.inner, right]) if isinstance(left, OptionalType) else None


RULES: dict[str, Callable[[Type, Type], Type | None]] = {
    "+": _plus,
    "==": _equal,
    "!=": _equal,
    "<": _ordered,
    "<=": _ordered,
    ">": _ordered,
    ">=": _ordered,
    "and": _logical,
    "or": _logical,
    "in": _inside,
    "not in": _inside,
    "??": _otherwise,
}

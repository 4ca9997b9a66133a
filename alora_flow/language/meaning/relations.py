"""What types are to each other: which fits where, and which one holds several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from alora_flow.language.meaning.types import (
    BOOL,
    ERROR,
    NEVER,
    NONE,
    UNIT_FLOAT,
    BoolType,
    ChatType,
    DurationType,
    EnumType,
    FloatType,
    IntType,
    InvocationType,
    ListType,
    MapType,
    NoneType,
    NumberedType,
    OptionalType,
    PairType,
    ProbType,
    RecordType,
    ReplyType,
    StrType,
    ThreadType,
    Type,
    UnionType,
    alternatives,
    as_float,
    fields_of,
)


def union(members: Iterable[Type]) -> Type:
    """The smallest type that holds all members: flat, without repeats, `none` and `T?` pulled out as one `?`."""
    kept: list[Type] = []
    optional = False
    for member in _flat(members):
        if isinstance(member, (NoneType, OptionalType)):
            optional = True
            # The elements of a `list[T?]` may be none, and the first of them, too.
            while isinstance(member, OptionalType):
                member = member.inner
            member = NEVER if isinstance(member, NoneType) else member
        for part in _flat([member]):
            if not any(assignable(part, other) for other in kept):
                kept = [other for other in kept if not assignable(other, part)] + [part]
    kept = [part for part in kept if part != NEVER] or kept
    joined = kept[0] if len(kept) == 1 else UnionType(tuple(kept)) if kept else NEVER
    if not optional:
        return joined
    return NONE if joined == NEVER else OptionalType(joined)


def join(types: Iterable[Type]) -> Type:
    """One type for values that stand together without a type of their own: numbers of all sizes have one range.

    Linear in the number of types: a list of many literals is read as fast as it is long.
    """
    kinds: dict[object, list[Type]] = {}
    for type in dict.fromkeys(types):
        for part in alternatives(type):
            kinds.setdefault(_kind(part), []).append(part)
    return union(part for kind, parts in kinds.items() for part in _joined(kind, parts))


def _kind(type: Type) -> object:
    """What is joined with what: numbers, and what holds one type, each among themselves."""
    if isinstance(type, (IntType, FloatType)):
        return "number"
    return type.__class__ if type.__class__ in _HOLDERS else type


def _joined(kind: object, parts: list[Type]) -> list[Type]:
    if kind == "number":
        return [hull(parts)]
    if kind in _HOLDERS:
        inner = [join(types) for types in zip(*(_HOLDERS[kind](part) for part in parts), strict=True)]
        return parts if any(isinstance(type, UnionType) for type in inner) else [kind(*inner)]  # type: ignore[operator]
    return parts[:1]


_HOLDERS: dict[object, Callable[[Any], tuple[Type, ...]]] = {
    ListType: lambda type: (type.element,),
    MapType: lambda type: (type.value,),
    NumberedType: lambda type: (type.value,),
    PairType: lambda type: (type.first, type.second),
}
"""Types that hold others, with those that they hold."""


def hull(types: Iterable[Type]) -> IntType | FloatType:
    """The smallest range that holds all of some number types; a float where one of them is."""
    numbers = [item for item in types if isinstance(item, (IntType, FloatType))]
    lows, highs = [item.low for item in numbers], [item.high for item in numbers]
    low = None if None in lows else min(bound for bound in lows if bound is not None)
    high = None if None in highs else max(bound for bound in highs if bound is not None)
    if all(isinstance(item, IntType) for item in numbers):
        return IntType(None if low is None else int(low), None if high is None else int(high))
    return FloatType(as_float(low), as_float(high))


def assignable(source: Type, target: Type) -> bool:
    """Can a value of `source` stand where `target` is wanted?"""
    if source in (target, NEVER) or ERROR in (source, target):
        return True
    if isinstance(source, (UnionType, OptionalType)):
        return all(assignable(part, target) for part in alternatives(source))
    match target:
        case UnionType():
            return any(assignable(source, member) for member in target.members)
        case OptionalType():
            return source == NONE or assignable(source, target.inner)
        case IntType():
            return isinstance(source, IntType) and _within(source, target)
        case FloatType():
            return isinstance(source, (IntType, FloatType)) and _within(source, target)
        case ListType():
            return isinstance(source, ListType) and assignable(source.element, target.element)
        case MapType():
            return isinstance(source, MapType) and assignable(source.value, target.value)
        case ThreadType():
            return isinstance(source, ChatType)
        case ChatType():
            return source == ListType(NEVER)
        case ReplyType():
            return isinstance(source, ReplyType) and assignable(source.value, target.value)
        case NumberedType():
            return isinstance(source, NumberedType) and assignable(source.value, target.value)
        case PairType() if isinstance(source, PairType):
            return assignable(source.first, target.first) and assignable(source.second, target.second)
        case InvocationType():
            return isinstance(source, InvocationType) and assignable(source.value, target.value)
    return False


MOST_CHOICES = 1024
"""An integer range up to this size is a choice of its numbers, with a distribution; a larger one is a grammar."""


def is_choice(type: Type) -> bool:
    """Has it so few values that a model can be asked for the probability of each?"""
    match type:
        case ProbType(of=outcome):
            return is_choice(outcome)
        case IntType(low=int() as low, high=int() as high):
            return high - low < MOST_CHOICES
    return isinstance(type, (BoolType, EnumType))


def look_alike(left: Type, right: Type) -> bool:
    """Could a piece of data be read as either?"""
    match left, right:
        case RecordType(), RecordType():
            return left != right and not (left.tag and right.tag and left.tag != right.tag) and _common(left, right)
        case EnumType(), EnumType():
            return left != right and bool(set(left.texts) & set(right.texts))
        case (EnumType(), StrType()) | (StrType(), EnumType()):
            return True
        case ListType(), ListType():
            return look_alike(left.element, right.element)
        case MapType(), MapType():
            return look_alike(left.value, right.value)
        case (MapType(), RecordType()) | (RecordType(), MapType()):
            return True
    return left == right or assignable(left, right) or assignable(right, left)


def _common(left: RecordType, right: RecordType) -> bool:
    """Is there data with all that both records need and nothing that one of them lacks?"""
    if bool(left.tag) != bool(right.tag):
        return False
    mine, other = ({item.name: item for item in record.fields} for record in (left, right))
    needed = {item.name for item in (*left.fields, *right.fields) if item.required}
    return all(
        name in mine
        and name in other
        and any(look_alike(one, two) for one in alternatives(mine[name].type) for two in alternatives(other[name].type))
        for name in needed
    )


def may_be(part: Type, tested: Type) -> bool:
    """Can a value of one case of a type be of the tested type? A whole number that became a float is not an int."""
    whole = isinstance(tested, IntType) and isinstance(part, FloatType)
    return not whole and (assignable(part, tested) or assignable(tested, part))


def is_data(type: Type) -> bool:
    """Can it come from outside, be printed in a hole, be compared? (Not threads, replies, distributions.)"""
    match type:
        case ListType(inner) | MapType(inner):
            return is_data(inner)
        case OptionalType() | UnionType():
            return all(is_data(part) for part in alternatives(type))
        case RecordType() | NumberedType() | PairType():
            return all(map(is_data, fields_of(type).values()))
    return not isinstance(type, (ThreadType, ReplyType, InvocationType, ProbType, DurationType))


def mocked_as(type: Type) -> Type:
    """What a mock may give for a result of this type: of a distribution the certain outcome, or p(true)."""
    if isinstance(type, ProbType):
        return union([BOOL, UNIT_FLOAT]) if isinstance(type.of, BoolType) else type.of
    return type


def is_lasting(type: Type) -> bool:
    """Can it be a field, or what a flow gives to the outside? Data and distributions, alone or inside."""
    match type:
        case ProbType():
            return True
        case ListType(inner) | MapType(inner):
            return is_lasting(inner)
        case OptionalType() | UnionType():
            return all(is_lasting(part) for part in alternatives(type))
        case RecordType() | NumberedType() | PairType():
            return all(map(is_lasting, fields_of(type).values()))
    return is_data(type)


def _flat(members: Iterable[Type]) -> Iterable[Type]:
    for member in members:
        if isinstance(member, UnionType):
            yield from member.members
        else:
            yield member


def _within(source: IntType | FloatType, target: IntType | FloatType) -> bool:
    low = target.low is None or (source.low is not None and source.low >= target.low)
    return low and (target.high is None or (source.high is not None and source.high <= target.high))

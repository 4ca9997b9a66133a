"""The types of the flow language, as frozen values.

`str(type)` prints the type as a flow file writes it; `assignable(source, target)` is the one rule of conversion.
Types compare by value; enums and records also by the file that declares them (`path`), so two files' `Stage` differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import Any

from alora_flow.frozen import dataclass


@dataclass(frozen=True, slots=True)
class StrType:
    """`str`"""

    def __str__(self) -> str:
        return "str"


@dataclass(frozen=True, slots=True)
class IntType:
    """`int`, `int[0..9]` (both ends included)"""

    low: int | None = None
    high: int | None = None

    def __str__(self) -> str:
        return f"int{_range(self.low, self.high)}"


@dataclass(frozen=True, slots=True)
class FloatType:
    """`float`, `float[0.0..1.0]` (both ends included)"""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"float{_range(self.low, self.high)}"


@dataclass(frozen=True, slots=True)
class BoolType:
    """`bool`"""

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True, slots=True)
class DurationType:
    """`3s`, `500ms`, `2m`: only in settings and budgets; its values are seconds"""

    def __str__(self) -> str:
        return "duration"


@dataclass(frozen=True, slots=True)
class NoneType:
    """The type of `none`, and the result of a tool that gives nothing"""

    def __str__(self) -> str:
        return "none"


@dataclass(frozen=True, slots=True)
class ListType:
    """`list[T]`"""

    element: Type

    def __str__(self) -> str:
        return f"list[{self.element}]"


@dataclass(frozen=True, slots=True)
class MapType:
    """`map[T]`: values by keys that are strings"""

    value: Type

    def __str__(self) -> str:
        return f"map[{self.value}]"


@dataclass(frozen=True, slots=True)
class OptionalType:
    """`T?`; `inner` is never itself optional"""

    inner: Type

    def __str__(self) -> str:
        return f"({self.inner})?" if isinstance(self.inner, UnionType) else f"{self.inner}?"


@dataclass(frozen=True, slots=True)
class EnumType:
    """`enum Stage { input, retrieval, output }`; `aliases` of the members that are written otherwise as data"""

    name: str
    members: tuple[str, ...]
    path: str = field(default="", repr=False)
    aliases: tuple[tuple[str, str], ...] = ()

    def text(self, member: str) -> str:
        """What a member is as data, and what a model writes for it."""
        return dict(self.aliases).get(member, member)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(map(self.text, self.members))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Field:
    """`certainty: float[0.0..1.0]` of a record; `required` when it has no default"""

    name: str
    type: Type
    required: bool = True


@dataclass(frozen=True, slots=True)
class RecordType:
    """`record Refusal { reason: str, stage: Stage }`; a record never contains itself

    A `tag` tells its values from those of other records: as data they have it under the name `tag`.
    """

    name: str
    fields: tuple[Field, ...]
    path: str = field(default="", repr=False)
    tag: str = ""

    def find(self, name: str) -> Field | None:
        return next((item for item in self.fields if item.name == name), None)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class UnionType:
    """`Answer | Refusal`: two or more members, flat, none assignable to another; built by `union(...)` only"""

    members: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))


@dataclass(frozen=True, slots=True)
class DocumentType:
    """`document`: a value with `.title` and `.text`, both `str`"""

    def __str__(self) -> str:
        return "document"


@dataclass(frozen=True, slots=True)
class ChatType:
    """`chat`: turns as data (from outside, or `thread.chat`); a chat can stand wherever a thread is wanted"""

    def __str__(self) -> str:
        return "chat"


@dataclass(frozen=True, slots=True)
class ThreadType:
    """`thread`: turns with their token ids; `.chat` reads it as data"""

    def __str__(self) -> str:
        return "thread"


@dataclass(frozen=True, slots=True)
class NeverType:
    """No value at all: the element type of `[]`; assignable to everything"""

    def __str__(self) -> str:
        return "never"


@dataclass(frozen=True, slots=True)
class ReplyType:
    """What `generate(...)` gives: `.text: str`, `.thread: thread`, `.invocations: list[invocation]`.

    `value` is the union of the results of what it `may invoke`, never when it may invoke nothing.
    """

    value: Type = NeverType()

    def __str__(self) -> str:
        return "reply"


@dataclass(frozen=True, slots=True)
class InvocationType:
    """A call that the model made itself: `.name: str`, `.value: T`, `.at: int` (place in the text, in characters)"""

    value: Type

    def __str__(self) -> str:
        return "invocation"


@dataclass(frozen=True, slots=True)
class NumberedType:
    """An element of `enumerate(xs)`: `.index: int`, `.value: T`"""

    value: Type

    def __str__(self) -> str:
        return f"numbered[{self.value}]"


@dataclass(frozen=True, slots=True)
class PairType:
    """An element of `zip(xs, ys)`: `.first`, `.second`"""

    first: Type
    second: Type

    def __str__(self) -> str:
        return f"pair[{self.first}, {self.second}]"


@dataclass(frozen=True, slots=True)
class ProbType:
    """`prob[T]`, T = bool, an enum or a bounded int range: `.p(x)`, `.top: T`, `.expected: float`"""

    of: Type

    def __str__(self) -> str:
        return f"prob[{self.of}]"


@dataclass(frozen=True, slots=True)
class ErrorType:
    """The type of something already reported; assignable both ways. Never part of a checked Program."""

    def __str__(self) -> str:
        return "error"


Type = (
    StrType
    | IntType
    | FloatType
    | BoolType
    | DurationType
    | NoneType
    | ListType
    | MapType
    | OptionalType
    | EnumType
    | RecordType
    | UnionType
    | DocumentType
    | ChatType
    | ThreadType
    | ReplyType
    | InvocationType
    | NumberedType
    | PairType
    | ProbType
    | NeverType
    | ErrorType
)

STR, INT, FLOAT, BOOL, DURATION = StrType(), IntType(), FloatType(), BoolType(), DurationType()
NONE, NEVER, ERROR = NoneType(), NeverType(), ErrorType()
DOCUMENT, CHAT, THREAD, REPLY = DocumentType(), ChatType(), ThreadType(), ReplyType()
UNIT_FLOAT = FloatType(0.0, 1.0)

# fields of the built-in types; a reply's and an invocation's depend on what may be invoked and stand in `fields_of`
BUILTIN_FIELDS: dict[type, dict[str, Type]] = {
    DocumentType: {"title": STR, "text": STR},
    ThreadType: {"chat": CHAT},
    ReplyType: {"text": STR, "thread": THREAD},
    InvocationType: {
        "name": STR,
        "at": IntType(0),
        "at_token": IntType(0),
        "depth": IntType(1),
        "distribution": MapType(UNIT_FLOAT),
        "spent": IntType(0),
        "action": STR,
    },
}


def fields_of(type: Type) -> dict[str, Type]:
    """Names and types of what `.name` can read of a value, empty where nothing can."""
    if isinstance(type, RecordType):
        return {item.name: item.type for item in type.fields}
    found = dict(BUILTIN_FIELDS.get(type.__class__, {}))
    if isinstance(type, NumberedType):
        return {"index": IntType(0), "value": type.value}
    if isinstance(type, PairType):
        return {"first": type.first, "second": type.second}
    if isinstance(type, ReplyType):
        found["invocations"] = ListType(InvocationType(type.value))
    elif isinstance(type, InvocationType):
        found["value"] = type.value
    elif isinstance(type, ProbType):
        found |= {"top": type.of, "expected": expected_of(type.of)}
    return found


def expected_of(type: Type) -> FloatType:
    """Type of the mean of a distribution: p(true) of a bool, the mean place (from 0) of an enum's member."""
    if isinstance(type, EnumType):
        return FloatType(0.0, float(len(type.members) - 1))
    if isinstance(type, IntType):
        return FloatType(as_float(type.low), as_float(type.high))
    return UNIT_FLOAT


def as_float(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


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


def alternatives(type: Type) -> tuple[Type, ...]:
    """What `is` and `match` can tell apart: the members of a union, `T` and `none` of an optional, else the type."""
    if isinstance(type, OptionalType):
        return (*alternatives(type.inner), NONE)
    return type.members if isinstance(type, UnionType) else (type,)


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


def inside(type: Type) -> Iterator[Type]:
    """A type and all types in it."""
    yield type
    match type:
        case ListType(inner) | MapType(inner) | OptionalType(inner) | ProbType(inner):
            yield from inside(inner)
        case UnionType(members):
            for member in members:
                yield from inside(member)
        case RecordType(fields=fields):
            for item in fields:
                yield from inside(item.type)


def _flat(members: Iterable[Type]) -> Iterable[Type]:
    for member in members:
        if isinstance(member, UnionType):
            yield from member.members
        else:
            yield member


def _within(source: IntType | FloatType, target: IntType | FloatType) -> bool:
    low = target.low is None or (source.low is not None and source.low >= target.low)
    return low and (target.high is None or (source.high is not None and source.high <= target.high))


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"[{'' if low is None else low}..{'' if high is None else high}]"

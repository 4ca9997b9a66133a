"""The types of the flow language, as frozen values.

`str(type)` prints the type as a flow file writes it; `assignable(source, target)` is the one rule of conversion.
Types compare by value; enums and records also by the file that declares them (`path`), so two files' `Stage` differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

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


@dataclass(frozen=True)
class RecordType:
    """`record Refusal { reason: str, stage: Stage }`; a record never contains itself

    A `tag` tells its values from those of other records: as data they have it under the name `tag`. It has no slots, so
    that there are weak references to it.
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


def alternatives(type: Type) -> tuple[Type, ...]:
    """What `is` and `match` can tell apart: the members of a union, `T` and `none` of an optional, else the type."""
    if isinstance(type, OptionalType):
        return (*alternatives(type.inner), NONE)
    return type.members if isinstance(type, UnionType) else (type,)


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


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"[{'' if low is None else low}..{'' if high is None else high}]"

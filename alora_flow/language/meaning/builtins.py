"""The functions that the language itself has and the types they give. What they do: `values/builtins.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.relations import assignable, hull, is_data, union
from alora_flow.language.meaning.types import (
    BOOL,
    DOCUMENT,
    ERROR,
    FLOAT,
    INT,
    NEVER,
    STR,
    ChatType,
    DocumentType,
    FloatType,
    IntType,
    ListType,
    MapType,
    NumberedType,
    OptionalType,
    PairType,
    RecordType,
    StrType,
    ThreadType,
    Type,
    as_float,
)

TURNS = ("system", "user", "assistant", "documents", "tool_result")
# names that only the language may declare, and what each is
OWN_NAMES = frozenset({*TURNS, "document", "map", "generate", "calls", "expected", "plan"})

Result = Callable[[Sequence[Type]], Type | None]


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters` as messages show them; `result` of the argument types, None when they do not fit.

    `hints` are the types to expect of the arguments; the last `optional` parameters may be left out.
    """

    parameters: tuple[str, ...]
    result: Result
    hints: tuple[Type | None, ...] = ()
    optional: int = 0


def _fixed(result: Type, *wanted: Type) -> Function:
    def fits(given: Sequence[Type]) -> Type | None:
        return result if all(map(assignable, given, wanted)) else None

    return Function(tuple(map(str, wanted)), fits, wanted)


def _number(type: Type) -> bool:
    return isinstance(type, (IntType, FloatType))


def _length(given: Sequence[Type]) -> Type | None:
    return IntType(0) if isinstance(given[0], (StrType, ListType, MapType, ChatType)) else None


def _text(given: Sequence[Type]) -> Type | None:
    return STR if is_data(given[0]) else None


def _clamp(given: Sequence[Type]) -> Type | None:
    """`clamp(x, 0, 9)`: the ends' own ranges make the result's."""
    if not all(map(_number, given)):
        return None
    low, high = given[1], given[2]
    assert isinstance(low, (IntType, FloatType))
    assert isinstance(high, (IntType, FloatType))
    if all(isinstance(item, IntType) for item in given):
        return IntType(_int(low.low), _int(high.high))
    return FloatType(as_float(low.low), as_float(high.high))


def _int(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _rounded(given: Sequence[Type]) -> Type | None:
    number = given[0]
    if not isinstance(number, (IntType, FloatType)):
        return None
    return IntType(*(None if bound is None else round(bound) for bound in (number.low, number.high)))


def _larger(given: Sequence[Type]) -> Type | None:
    """Both arguments of one kind of number; the result's range holds both."""
    if not all(map(_number, given)):
        return None
    return hull(given)


def _sum(given: Sequence[Type]) -> Type | None:
    if not isinstance(given[0], ListType):
        return None
    element = given[0].element
    return (
        INT if isinstance(element, IntType) or element == NEVER else FLOAT if isinstance(element, FloatType) else None
    )


def _mean(given: Sequence[Type]) -> Type | None:
    if not (isinstance(given[0], ListType) and (_number(given[0].element) or given[0].element == NEVER)):
        return None
    return FLOAT if given[0].element == NEVER else number_as_float(given[0].element)


def _range(given: Sequence[Type]) -> Type | None:
    count = given[0]
    if not isinstance(count, IntType):
        return None
    return ListType(IntType(0, None if count.high is None else max(count.high - 1, 0)))


def _first(given: Sequence[Type]) -> Type | None:
    return union([OptionalType(given[0].element)]) if isinstance(given[0], ListType) else None


def _best(given: Sequence[Type]) -> Type | None:
    """`best(drafts, by: "score")`: the element whose numeric field is largest; the checker looks the field up."""
    fits = isinstance(given[0], ListType) and isinstance(given[0].element, RecordType) and given[1] == STR
    return given[0].element if fits and isinstance(given[0], ListType) else None


def _enumerated(given: Sequence[Type]) -> Type | None:
    return ListType(NumberedType(given[0].element)) if isinstance(given[0], ListType) else None


def _zipped(given: Sequence[Type]) -> Type | None:
    first, second = given
    both = isinstance(first, ListType) and isinstance(second, ListType)
    return ListType(PairType(first.element, second.element)) if both else None  # type: ignore[union-attr]


def _sorted(given: Sequence[Type]) -> Type | None:
    """`sort(xs)` of numbers or strings, `sort(drafts, by: "score")` of records; the checker looks the field up."""
    if not isinstance(given[0], ListType):
        return None
    element = given[0].element
    if len(given) == 2:
        return given[0] if isinstance(element, RecordType) and given[1] == STR else None
    return given[0] if _number(element) or element in (STR, NEVER) else None


def _reversed(given: Sequence[Type]) -> Type | None:
    return given[0] if isinstance(given[0], (ListType, StrType)) else None


def _keys(given: Sequence[Type]) -> Type | None:
    return TEXTS if isinstance(given[0], MapType) else None


def _values(given: Sequence[Type]) -> Type | None:
    return ListType(given[0].value) if isinstance(given[0], MapType) else None


def _token_count(given: Sequence[Type]) -> Type | None:
    fits = assignable(given[0], DOCUMENTS) or isinstance(given[0], (StrType, DocumentType, ChatType, ThreadType))
    return IntType(0) if fits else None


def _truncated(given: Sequence[Type]) -> Type | None:
    fits = assignable(given[0], DOCUMENTS) or isinstance(given[0], (StrType, DocumentType, ChatType))
    return given[0] if fits and isinstance(given[1], IntType) else None


CUT, TOKENISED = "str, document, list of documents or chat", "str, document, list of documents, chat or thread"
DOCUMENTS = ListType(DOCUMENT)
TEXTS, FLAGS = ListType(STR), ListType(BOOL)

FUNCTIONS: dict[str, Function] = {
    "len": Function(("str, list, map or chat",), _length),
    "str": Function(("any data",), _text),
    "round": Function(("float",), _rounded),
    "float": Function(("int",), lambda given: number_as_float(given[0])),
    "min": Function(("number", "number"), _larger),
    "max": Function(("number", "number"), _larger),
    "clamp": Function(("number", "number", "number"), _clamp),
    "sum": Function(("list of numbers",), _sum),
    "mean": Function(("list of numbers",), _mean),
    "range": Function(("int",), _range),
    "first": Function(("list",), _first),
    "best": Function(("list of records", "by: name of a field"), _best),
    "enumerate": Function(("list",), _enumerated),
    "zip": Function(("list", "list"), _zipped),
    "sort": Function(("list", "by: name of a field"), _sorted, optional=1),
    "reverse": Function(("list or str",), _reversed),
    "keys": Function(("map",), _keys),
    "values": Function(("map",), _values),
    "count_tokens": Function((TOKENISED,), _token_count),
    "truncate": Function((f"{CUT}", "int"), _truncated),
    "any": _fixed(BOOL, FLAGS),
    "all": _fixed(BOOL, FLAGS),
    "lower": _fixed(STR, STR),
    "upper": _fixed(STR, STR),
    "trim": _fixed(STR, STR),
    "split": _fixed(TEXTS, STR, STR),
    "join": _fixed(STR, TEXTS, STR),
    "replace": _fixed(STR, STR, STR, STR),
    "starts_with": _fixed(BOOL, STR, STR),
    "ends_with": _fixed(BOOL, STR, STR),
}


def number_as_float(type: Type) -> FloatType | None:
    if isinstance(type, IntType):
        return FloatType(as_float(type.low), as_float(type.high))
    return type if isinstance(type, FloatType) else None


def result_of(function: Function, given: Sequence[Type]) -> Type | None:
    """Type of a call with the right number of arguments; silent about what was already reported."""
    return ERROR if ERROR in given else function.result(given)

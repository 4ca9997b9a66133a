"""Flow types as Python types, so that pydantic validates whatever comes in from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache, reduce
from operator import or_
from threading import RLock
from typing import Annotated, Any, ClassVar, Literal
from weakref import WeakValueDictionary, finalize

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model, model_validator

from alora_flow.language.meaning import types as t
from alora_flow.values.data import Distribution, Document, Numbered, OwnCall, Pair, Reply
from alora_flow.values.history import ChatTurn
from alora_flow.values.names import ENUM_MEMBERS, alias, field_names, field_of, python_names
from alora_flow.values.text import UnicodeText

_PLAIN: dict[type, Any] = {
    t.StrType: UnicodeText,
    t.BoolType: bool,
    t.NoneType: None,
    t.DocumentType: Document,
    t.ChatType: list[ChatTurn],
    t.ThreadType: tuple,
    t.ReplyType: Reply,
    t.InvocationType: OwnCall,
    t.ProbType: Distribution,
    t.DurationType: float,
    t.NumberedType: Numbered,
    t.PairType: Pair,
}


class _Declared:
    """The values of a record's fields that need not be given."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self.defaults = defaults


_DECLARED: WeakValueDictionary[t.RecordType, _Declared] = WeakValueDictionary()
"""Held by the flow types that they were declared for, and by the classes that were made of them."""

_CLASSES: WeakValueDictionary[t.Type, type] = WeakValueDictionary()
"""Of records and enums, while a value or anything else refers to them: what a closed module leaves is forgotten."""


def declare_defaults(type: t.RecordType, values: Mapping[str, Any]) -> None:
    """The values of a record's fields that need not be given. To be called before the record's class is first wanted.

    They are kept as long as this very `type`. A file that was changed and loaded again gets classes of its own.
    """
    with _MAKING:
        declared = _DECLARED.get(type)
        if declared is not None and declared.defaults != values:
            _CLASSES.clear()  # of records that have this one inside, too
            forget_adapters()
            del _DECLARED[type]
            declared = None
        if declared is None:
            # The key must not be the one that holds the value.
            declared = _DECLARED[replace(type)] = _Declared(values)
    finalize(type, _let_go, declared).atexit = False


def _let_go(declared: _Declared) -> None:
    """Until it is called, the interpreter holds what it is to be called with."""


def complaint(error: ValidationError) -> str:
    """Where in a value the first thing is wrong, and what: `[0]['role'] Field required`."""
    first = error.errors()[0]
    place = "".join(f"[{part!r}]" for part in first["loc"])
    return f"{place} {first['msg'].removeprefix('Value error, ')}".lstrip()


def as_declared(value: Any, type: t.Type) -> Any:
    """With a float wherever a whole number stands for one, so that Python sees what the flow file says."""
    return adapter(type).validate_python(value) if _has_floats(type) else value


def _has_floats(type: t.Type) -> bool:
    """Outside of records, whose fields are what they are declared to be."""
    match type:
        case t.FloatType():
            return True
        case t.ListType(inner) | t.MapType(inner) | t.OptionalType(inner):
            return _has_floats(inner)
        case t.UnionType(members=members):
            return any(map(_has_floats, members))
    return False


def nesting(type: t.Type) -> int:
    """How many records deep a type is: those inside must be declared first."""
    match type:
        case t.RecordType(fields=fields):
            return 1 + max((nesting(field.type) for field in fields), default=0)
        case t.ListType(inner) | t.MapType(inner) | t.OptionalType(inner):
            return nesting(inner)
        case t.UnionType(members=members):
            return max(map(nesting, members))
    return 0


_MAKING = RLock()
"""Held while a class is made: two threads that first want one would make two."""


def python_type(type: t.Type) -> Any:
    """The Python type of a flow type: equal flow types give the identical class."""
    match type:
        case t.IntType(low, high):
            return Annotated[int, Field(strict=True, ge=low, le=high)]
        case t.FloatType(low, high):
            return Annotated[float, Field(ge=low, le=high, allow_inf_nan=False)]
        case t.ListType(element):
            return list[python_type(element)]  # type: ignore[misc]
        case t.MapType(value):
            return dict[str, python_type(value)]  # type: ignore[misc]
        case t.OptionalType(inner):
            return python_type(inner) | None
        case t.UnionType(members):
            # The module `typing` would keep what it was asked to unite.
            return reduce(or_, map(python_type, members))
        case t.EnumType() | t.RecordType():
            return _class(type)
    return _PLAIN[type.__class__]


def _class(type: t.EnumType | t.RecordType) -> type:
    with _MAKING:
        made = _CLASSES.get(type)
        if made is None:
            # What it was asked for may be what holds the defaults, which the class holds, too.
            key = replace(type)
            made = _CLASSES[key] = _enum(key) if isinstance(key, t.EnumType) else _record(key)
        return made


class RecordModel(BaseModel):
    """What the class of every record of a flow file is made from. The class is made anew in another process."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=())

    __flow_type__: ClassVar[t.RecordType]
    __declared__: ClassVar[_Declared | None]

    @model_validator(mode="before")
    @classmethod
    def _of_another_load(cls, value: Any) -> Any:
        """A file whose defaults were changed and that was loaded again has a new class for the same record."""
        if isinstance(value, RecordModel) and type(value) is not cls and value.__flow_type__ == cls.__flow_type__:
            return {**tagged(cls.__flow_type__), **_fields(value)}
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        type = self.__flow_type__
        return _revived, (type, _declared_in(type), _fields(self))


def _fields(record: RecordModel) -> dict[str, Any]:
    """By the names that the flow file gives them."""
    return {field.name: field_of(record, field.name) for field in record.__flow_type__.fields}


def _record(type: t.RecordType) -> type[BaseModel]:
    declared = _DECLARED.get(type)
    defaults = declared.defaults if declared else {}
    names = field_names(field.name for field in type.fields)
    fields: dict[str, Any] = {
        names[field.name]: (
            python_type(field.type),
            Field(... if field.required else defaults[field.name], alias=field.name),
        )
        for field in type.fields
    }
    if type.tag:
        fields = {"tag": (Literal[type.tag], ...), **fields}
    made = create_model(type.name, __base__=RecordModel, **fields)
    made.__flow_type__, made.__declared__ = type, declared
    alias(made, names)
    return made


def tagged(type: t.Type) -> dict[str, str]:
    """What data of a record have beside its fields."""
    return {"tag": type.tag} if isinstance(type, t.RecordType) and type.tag else {}


def _revived(type: t.RecordType, declared: Mapping[t.RecordType, Mapping[str, Any]], values: dict[str, Any]) -> Any:
    for record, defaults in declared.items():
        declare_defaults(record, defaults)
    return python_type(type)(**tagged(type), **values)


def _declared_in(type: t.Type) -> dict[t.RecordType, Mapping[str, Any]]:
    """The defaults of a record and of those inside it, which come first."""
    match type:
        case t.RecordType(fields=fields):
            inside = {record: values for field in fields for record, values in _declared_in(field.type).items()}
            declared = _DECLARED.get(type)
            return {**inside, type: declared.defaults if declared else {}}
        case t.ListType(inner) | t.MapType(inner) | t.OptionalType(inner) | t.ProbType(inner):
            return _declared_in(inner)
        case t.UnionType(members=members):
            return {record: values for member in members for record, values in _declared_in(member).items()}
    return {}


def _enum(type: t.EnumType) -> Any:
    """Its members are strings; a member finds its class by the flow type in another process."""
    names = python_names(type.members, ENUM_MEMBERS)
    name, members = type.name, {names[member]: type.text(member) for member in type.members}
    made = Enum(name, members, type=str)  # type: ignore[misc]
    setattr(made, "__reduce_ex__", lambda member, protocol: (_member, (type, member.value)))  # noqa: B010 - mypy
    return made


def _member(type: t.EnumType, name: str) -> Any:
    return python_type(type)(name)


@lru_cache(maxsize=1024)
def adapter(type: t.Type) -> TypeAdapter[Any]:
    """Validates, parses and prints values of a flow type."""
    return TypeAdapter(python_type(type), config=_adapter_config(type))


def forget_adapters() -> None:
    """They hold the classes of all modules: those that are still wanted are made again."""
    adapter.cache_clear()


def _adapter_config(type: t.Type) -> ConfigDict | None:
    """Models and dataclasses bring their own configuration, and pydantic refuses a second one."""
    own = (t.RecordType, t.DocumentType, t.ProbType, t.ReplyType, t.InvocationType, t.NumberedType, t.PairType)
    return None if isinstance(type, own) else ConfigDict(arbitrary_types_allowed=True)


def is_value_of(value: Any, type: t.Type) -> bool:
    """Does a value of the run belong to a type? (`r is Refusal`, `match`.)"""
    match type:
        case t.NoneType():
            return value is None
        case t.OptionalType(inner):
            return value is None or is_value_of(value, inner)
        case t.UnionType(members):
            return any(is_value_of(value, member) for member in members)
        case t.ListType(element):
            return isinstance(value, list) and all(is_value_of(item, element) for item in value)
        case t.MapType(inner):
            return isinstance(value, dict) and all(is_value_of(item, inner) for item in value.values())
        case t.ChatType():
            return isinstance(value, list) and all(isinstance(item, ChatTurn) for item in value)
        case t.StrType():
            return isinstance(value, str)
        case t.RecordType():
            return isinstance(value, RecordModel) and value.__flow_type__ == type
        case t.BoolType():
            return isinstance(value, bool)
        case t.IntType(low, high):
            return isinstance(value, int) and not isinstance(value, bool) and _within(value, low, high)
        case t.FloatType(low, high):
            return isinstance(value, (int, float)) and not isinstance(value, bool) and _within(value, low, high)
    return isinstance(value, python_type(type))


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)

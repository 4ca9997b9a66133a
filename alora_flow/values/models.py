"""Flow types as Python types, so that pydantic validates whatever comes in from outside."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from threading import RLock
from typing import Annotated, Any, Literal, Optional, Union

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


_DEFAULTS: dict[t.RecordType, Mapping[str, Any]] = {}


def declare_defaults(type: t.RecordType, values: Mapping[str, Any]) -> None:
    """The values of a record's fields that need not be given. To be called before the record's class is first wanted.

    A file that was changed and loaded again gets classes of its own.
    """
    if _DEFAULTS.get(type, values) != values:
        _python_type.cache_clear()
        adapter.cache_clear()
    _DEFAULTS[type] = values


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
    with _MAKING:
        return _python_type(type)


@cache
def _python_type(type: t.Type) -> Any:
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
            return Optional[python_type(inner)]  # noqa: UP045 - built from values, not written
        case t.UnionType(members):
            return Union[tuple(python_type(member) for member in members)]  # noqa: UP007
        case t.EnumType():
            return _enum(type)
        case t.RecordType():
            return _record(type)
    return _PLAIN[type.__class__]


class RecordModel(BaseModel):
    """What the class of every record of a flow file is made from. The class is made anew in another process."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _of_another_load(cls, value: Any) -> Any:
        """A file whose defaults were changed and that was loaded again has a new class for the same record."""
        if isinstance(value, RecordModel) and type(value) is not cls and _TYPES.get(type(value)) == _TYPES.get(cls):
            return {**tagged(_TYPES[cls]), **_fields(value)}
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        type = _TYPES[self.__class__]
        return _revived, (type, _declared_in(type), _fields(self))


_TYPES: dict[type, t.RecordType] = {}
"""The flow types of the records' classes."""


def _fields(record: RecordModel) -> dict[str, Any]:
    """By the names that the flow file gives them."""
    return {field.name: field_of(record, field.name) for field in _TYPES[record.__class__].fields}


def _record(type: t.RecordType) -> type[BaseModel]:
    defaults = _DEFAULTS.get(type, {})
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
    _TYPES[made] = type
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
            return {**inside, type: _DEFAULTS.get(type, {})}
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


@cache
def adapter(type: t.Type) -> TypeAdapter[Any]:
    """Validates, parses and prints values of a flow type."""
    return TypeAdapter(python_type(type), config=_adapter_config(type))


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
            return _TYPES.get(value.__class__) == type
        case t.BoolType():
            return isinstance(value, bool)
        case t.IntType(low, high):
            return isinstance(value, int) and not isinstance(value, bool) and _within(value, low, high)
        case t.FloatType(low, high):
            return isinstance(value, (int, float)) and not isinstance(value, bool) and _within(value, low, high)
    return isinstance(value, python_type(type))


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)

"""The one way through expressions and whatever holds them: what stands inside, and the same with parts replaced.

It reads the fields of the classes, so that a new expression or operation needs no code here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from operator import is_
from typing import Any, TypeVar, get_args

from alora_flow.language.meaning.program import Binding, Declaration, Expression, Parameter
from alora_flow.language.meaning.types import Type
from alora_flow.language.report.source import Span

T = TypeVar("T")

LEAVES = (Span, Binding, Declaration, Parameter, *get_args(Type))
"""What holds no expression that a node reads: declarations have names of their own."""


PLAIN = {"str", "bool", "int", "float", "None", "Role", "Action", "Type", "Span"}
"""Annotations of fields that hold no expression."""


class _Fields(dict[type, tuple[str, ...]]):
    """The names of a class's fields that may hold expressions, looked up once."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        bare = issubclass(kind, LEAVES) or not is_dataclass(kind)
        self[kind] = () if bare else tuple(item.name for item in fields(kind) if not _plain(str(item.type)))
        return self[kind]


def _plain(annotation: str) -> bool:
    return annotation.startswith("OneOf[") or PLAIN.issuperset(annotation.split(" | "))


class _Backwards(dict[type, tuple[str, ...]]):
    """The same names, last first."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        self[kind] = _FIELDS[kind][::-1]
        return self[kind]


_FIELDS, _BACKWARDS = _Fields(), _Backwards()


def every(part: object) -> Iterator[Expression]:
    """All expressions inside, at any depth, each before its own parts. Without recursion in their depth."""
    waiting = [part]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting += item[::-1]
            continue
        if isinstance(item, Expression):
            yield item
        for name in _BACKWARDS[type(item)]:
            waiting.append(getattr(item, name))


def mapped(part: T, change: Callable[[Expression], Expression]) -> T:
    """The same with `change` made to every expression directly inside; the very same object where nothing changed."""
    made: Any = part
    if isinstance(part, tuple):
        items = tuple([_changed(item, change) for item in part])
        return made if all(map(is_, items, part)) else items  # type: ignore[return-value]
    changes = {}
    for name in _FIELDS[type(part)]:
        before = getattr(part, name)
        after = _changed(before, change)
        if after is not before:
            changes[name] = after
    return replace(made, **changes) if changes else part


def _changed(part: T, change: Callable[[Expression], Expression]) -> T:
    if isinstance(part, Expression):
        return change(part)  # type: ignore[return-value]
    return mapped(part, change)

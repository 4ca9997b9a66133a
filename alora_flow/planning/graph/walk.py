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


class _Fields(dict[type, tuple[str, ...]]):
    """The names of a class's fields, looked up once."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        bare = issubclass(kind, LEAVES) or not is_dataclass(kind)
        self[kind] = () if bare else tuple(item.name for item in fields(kind))
        return self[kind]


_FIELDS = _Fields()


def inside(part: object) -> Iterator[Expression]:
    """The expressions directly inside an expression, an operation, an argument …, in order."""
    if isinstance(part, tuple):
        for item in part:
            yield from _at(item)
        return
    for name in _FIELDS[type(part)]:
        yield from _at(getattr(part, name))


def _at(part: object) -> Iterator[Expression]:
    if isinstance(part, Expression):
        yield part
    else:
        yield from inside(part)


def every(part: object) -> Iterator[Expression]:
    """All expressions inside, at any depth, each before its own parts. Without recursion in their depth."""
    waiting = list(_at(part))[::-1]
    while waiting:
        expression = waiting.pop()
        yield expression
        waiting += list(inside(expression))[::-1]


def mapped(part: T, change: Callable[[Expression], Expression]) -> T:
    """The same with `change` made to every expression directly inside; the very same object where nothing changed."""
    made: Any = part
    if isinstance(part, tuple):
        items = tuple(_changed(item, change) for item in part)
        return made if all(map(is_, items, part)) else items  # type: ignore[return-value]
    before = {name: getattr(part, name) for name in _FIELDS[type(part)]}
    after = {name: _changed(value, change) for name, value in before.items()}
    changes = {name: value for name, value in after.items() if value is not before[name]}
    return replace(made, **changes) if changes else part


def _changed(part: T, change: Callable[[Expression], Expression]) -> T:
    if isinstance(part, Expression):
        return change(part)  # type: ignore[return-value]
    return mapped(part, change)

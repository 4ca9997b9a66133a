"""`dataclass(frozen=True)`, with slots or without, whose methods are made when they are first needed.

Python compiles six methods for each such class when a module is imported. The language has some two hundred of them,
and a command uses few: compiling all took most of the time that `check` takes to start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool = False, eq: bool = True):
        """A decorator like the standard one. Subclasses of its classes are made by it as well."""
        assert frozen, "the standard dataclass makes what changes"
        return partial(_made, methods=_METHODS | (_BY_CONTENT if eq else {}) | (_SLOTTED if slots else {}))


def _made(kind: type, methods: dict[str, Any]) -> type:
    kind.__doc__ = kind.__doc__ or kind.__name__  # the standard dataclass would inspect its signature
    own = {*kind.__dict__}
    kind = dataclasses.dataclass(init=False, repr=False, eq=False, slots="__getstate__" in methods)(kind)
    for name, method in methods.items():
        if name not in own:
            setattr(kind, name, method)
    return kind


def _init(self: Any, *arguments: Any, **named: Any) -> None:
    """Of a class's first object: makes the class's own, and goes on with it."""
    kind = next(each for each in type(self).__mro__ if each.__dict__.get("__init__") is _init)
    kind.__init__ = _compiled(kind)  # type: ignore[misc]
    kind.__init__(self, *arguments, **named)  # type: ignore[misc]


def _compiled(kind: type) -> Any:
    """A function that takes the fields by place or by name, and writes each into the object."""
    known: dict[str, Any] = {"_set": object.__setattr__}
    parameters, lines = ["self"], []
    for field in dataclasses.fields(kind):
        name, value = field.name, field.name
        if field.default_factory is not MISSING:
            known[f"_default_{name}"], known[f"_make_{name}"] = MISSING, field.default_factory
            value = f"_make_{name}() if {name} is _default_{name} else {name}"
        elif field.default is not MISSING:
            known[f"_default_{name}"] = field.default
        default = f"_default_{name}" if f"_default_{name}" in known else None
        if field.init:
            parameters.append(f"{name}={default}" if default else name)
        lines.append(f" _set(self, '{name}', {value if field.init else default})")
    if hasattr(kind, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec("\n".join([f"def __init__({', '.join(parameters)}):", *(lines or [" pass"])]), known)
    return known["__init__"]


class _Compared(dict[type, Callable[[Any], Any]]):
    """By class, what makes two of its objects equal; found when it is first asked for."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        names = [field.name for field in dataclasses.fields(kind) if field.compare]
        # With the class itself it is always a tuple, whose elements are equal where they are the same.
        self[kind] = attrgetter("__class__", *names)
        return self[kind]


_COMPARED = _Compared()


def _equal(self: Any, other: object) -> Any:
    kind = self.__class__
    if other.__class__ is not kind:
        return NotImplemented
    compared = _COMPARED[kind]
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(_COMPARED[self.__class__](self))


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _set(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__setattr__": _set,
    "__delattr__": _delete,
}
_BY_CONTENT = {"__eq__": _equal, "__hash__": _hash}
_SLOTTED = {"__getstate__": _state, "__setstate__": _restore}

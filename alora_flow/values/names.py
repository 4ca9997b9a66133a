"""Names of flow files in Python: what Python or pydantic has itself, and keywords, get an underscore behind them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from keyword import iskeyword
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel

_ALIASES: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()
"""The names that a record's class has otherwise than the flow file, by the class."""


def python_names(names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """For each name the one that Python takes: `json_` for `json`, `x_` for `_x`; no two are the same."""
    found: dict[str, str] = {}

    def odd(name: str) -> bool:
        return name in taken or name.startswith("_")

    for name in sorted(names, key=lambda name: odd(name) or iskeyword(name)):
        known = f"{name.strip('_') or 'name'}_" if odd(name) else parameter_name(name)
        while known in found.values() or known in taken:
            known += "_"
        found[name] = known
    return found


def parameter_name(name: str) -> str:
    """What a parameter of a flow or a tool is called in Python: `class_` for `class`. All but keywords can be one."""
    return f"{name}_" if iskeyword(name) else name


ENUM_MEMBERS = ("mro",)
"""What no member of an enum can be called."""


def field_names(names: Iterable[str]) -> dict[str, str]:
    return python_names(names, dir(BaseModel))


def alias(record: type, names: dict[str, str]) -> None:
    """Remembers under which names a record's class has its fields."""
    odd = {name: known for name, known in names.items() if name != known}
    if odd:
        _ALIASES[record] = odd


def field_of(value: Any, name: str) -> Any:
    """A field of a value by its name in the flow file."""
    odd = _ALIASES.get(type(value))
    return getattr(value, odd.get(name, name) if odd else name)

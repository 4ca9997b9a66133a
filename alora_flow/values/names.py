"""Names of flow files in Python: what Python or pydantic has itself gets an underscore behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import BaseModel

_ALIASES: dict[type, dict[str, str]] = {}
"""The names that a record's class has otherwise than the flow file, by the class."""


def python_names(names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """For each name the one that Python takes: `json_` for `json`, `x_` for `_x`; no two are the same."""
    found: dict[str, str] = {}
    waiting = sorted(names, key=lambda name: name in taken or name.startswith("_"))
    for name in waiting:
        known = name
        if name in taken or name.startswith("_"):
            known = f"{name.strip('_') or 'name'}_"
        while known in found.values() or known in taken:
            known += "_"
        found[name] = known
    return found


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

"""The fields of an adapter's configuration, each checked as it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import regex

from alora_runtime.errors import AdapterError
from alora_runtime.json_file import is_whole

MOST = 2**31 - 1

Names = str | tuple[str, ...] | None
Value = TypeVar("Value")


@dataclass(frozen=True)
class Fields:
    """What a file holds. Whatever is read raises AdapterError naming file and field where it is not what it must be."""

    path: Path
    raw: Mapping[str, Any]

    def wrong(self, field: str, expected: str, value: object) -> AdapterError:
        """The error to raise."""
        return AdapterError(f"{self.path}: {field} must be {expected}, not {value!r}")

    def rank(self, field: str, value: object) -> int:
        """A rank."""
        if not isinstance(value, int) or not is_whole(value, 1, MOST):
            raise self.wrong(field, "a rank, an integer from 1 on", value)
        return value

    def number(self, field: str, value: object) -> float:
        """A number of any sign."""
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > MOST:
            raise self.wrong(field, "a number", value)
        return float(value)

    def flag(self, field: str) -> bool:
        """False where it is not given."""
        value = self.raw.get(field)
        if not isinstance(value, bool | None):
            raise self.wrong(field, "true or false", value)
        return bool(value)

    def text(self, field: str) -> str | None:
        """None where it is not given, or empty."""
        value = self.raw.get(field)
        if not isinstance(value, str | None):
            raise self.wrong(field, "a string", value)
        return value or None

    def numbers(self, field: str) -> tuple[int, ...]:
        """Integers from 0 on: one, a list of them, or none."""
        values = _listed(self.raw.get(field))
        if not all(is_whole(value, 0, MOST) for value in values):
            raise self.wrong(field, "integers from 0 on", self.raw[field])
        return tuple(values)

    def names(self, field: str) -> Names:
        """Names, or one expression."""
        value = self.raw.get(field)
        return self.pattern(field, value) if isinstance(value, str) else self._texts(field) or None

    def patterns(self, field: str) -> tuple[str, ...]:
        """Expressions: one, a list of them, or none."""
        return tuple(self.pattern(field, text) for text in self._texts(field))

    def by_pattern(self, field: str, read: Callable[[str, object], Value]) -> dict[str, Value]:
        """Values by expression."""
        values = self.raw.get(field)
        if not isinstance(values, dict | None):
            raise self.wrong(field, "an object", values)
        found = (values or {}).items()
        return {self.pattern(field, key): read(f"{field}.{key}", value) for key, value in found}

    def pattern(self, field: str, text: str) -> str:
        """One expression."""
        try:
            regex.compile(text)
        except (regex.error, RecursionError, OverflowError) as error:
            raise self.wrong(field, f"a regular expression ({error})", text) from None
        return text

    def _texts(self, field: str) -> tuple[str, ...]:
        values = _listed(self.raw.get(field))
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(field, "names", self.raw[field])
        return tuple(values)


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]

"""JSON files from outside, read so that whatever is wrong with them has a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from alora_runtime.errors import EngineError
from alora_runtime.foreign import unreadable


def read_object(path: Path, error: type[EngineError]) -> dict[str, Any]:
    """The object in a JSON file, whose numbers are all finite. Raises `error` naming file and field."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        wrong = next(_not_finite(raw), None)
    except RecursionError:
        raise error(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as reason:
        raise unreadable(path, reason, error) from None
    if not isinstance(raw, dict):
        raise error(f"{path} is not a JSON object")
    if wrong:
        raise error(f"{path}: {wrong} is not a finite number")
    return raw


def _not_finite(value: object, place: str = "") -> Iterator[str]:
    """The places of numbers that are infinite (`1e400` is) or none."""
    if isinstance(value, float) and not isfinite(value):
        yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _not_finite(part, f"{place}.{name}".removeprefix("."))


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether it is an integer in this range; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

"""What the language's built-in functions do, but for `str`, which is what a hole shows (`planning/evaluate.py`). Their
names and types stand in `language/meaning/builtins.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from alora_flow.values.data import Numbered, Pair
from alora_flow.values.names import field_of


def _best(records: Sequence[Any], name: str) -> Any:
    """The first of those whose field is largest. Raises ValueError where there is none."""
    if not records:
        raise ValueError("there is no best of an empty list")
    return max(records, key=lambda record: field_of(record, name))


def _mean(numbers: Sequence[float]) -> float:
    """0 for an empty list, so that a plan of an empty fan-out still has a value."""
    return fmean(numbers) if numbers else 0.0


MOST_NUMBERS = 10_000_000


def _range(count: int) -> list[int]:
    """Raises ValueError for what would fill the memory."""
    if count > MOST_NUMBERS:
        raise ValueError(f"{count} numbers are more than a list of {MOST_NUMBERS}")
    return list(range(count))


def _sort(items: Sequence[Any], name: str | None = None) -> list[Any]:
    return sorted(items) if name is None else sorted(items, key=lambda record: field_of(record, name))


BUILTINS: dict[str, Callable[..., Any]] = {
    "len": len,
    "round": round,
    "float": float,
    "min": min,
    "max": max,
    "clamp": lambda number, low, high: min(max(number, low), high),
    "sum": sum,
    "mean": _mean,
    "range": _range,
    "first": lambda items: items[0] if items else None,
    "best": _best,
    "enumerate": lambda items: [Numbered(index, value) for index, value in enumerate(items)],
    "zip": lambda left, right: [Pair(first, second) for first, second in zip(left, right, strict=False)],
    "sort": _sort,
    "reverse": lambda items: items[::-1],
    "map": lambda pairs: {pair.first: pair.second for pair in pairs},
    "keys": list,
    "values": lambda entries: list(entries.values()),
    "any": any,
    "all": all,
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "split": str.split,
    "join": lambda texts, between: between.join(texts),
    "replace": str.replace,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}

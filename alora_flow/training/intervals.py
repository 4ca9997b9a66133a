"""Figures with their count and 95 % interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import Any

Figures = dict[str, Any]


def interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    if not count:
        return 0.0, 1.0
    p = hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(hits: Sequence[bool]) -> Figures:
    """A proportion with its count and 95 % interval."""
    low, high = interval(sum(hits), len(hits))
    return {
        "rate": round(sum(hits) / max(1, len(hits)), 4),
        "n": len(hits),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def by(keys: Sequence[str], hits: Sequence[bool]) -> dict[str, Figures]:
    """`rate` for each key."""
    split: dict[str, list[bool]] = defaultdict(list)
    for key, hit in zip(keys, hits, strict=True):
        split[key].append(hit)
    return {key: rate(split[key]) for key in sorted(split)}

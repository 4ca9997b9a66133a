"""The tokens of an answer beside its text: where a literal stands, and what else might have stood there."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from math import exp, fsum
from typing import Any, TypeAlias

from alora_flow.frozen import dataclass

ALTERNATIVES = 10
"""How many of the likeliest tokens at a literal's beginning count, beside the one that was written."""

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in JSON: names of fields and places in lists."""


@dataclass(frozen=True)
class TokenizedAnswer:
    """`log_probabilities`: for each token those of the likeliest ones in its place, before any mask; empty where there
    was no choice. `spell`: tokens to text."""

    text: str
    tokens: tuple[int, ...]
    log_probabilities: Sequence[Mapping[int, float]]
    spell: Callable[[tuple[int, ...]], str] = field(repr=False)

    def expected(self, at: int, value: str, numbers: Mapping[str, float], temperature: float = 1.0) -> float | None:
        """The mean of the numbers over what may stand at character `at`, where `value` was written.

        A token stands for the first value that begins with it; the one that was written, for `value`. Log-probabilities
        of the values are divided by `temperature`. None where there
        is nothing to weigh: then the literal, or its first token, was the only one that its grammar allows.
        """
        place = bisect_right(range(len(self.tokens)), at, key=lambda count: len(self._before(count))) - 1
        begun = self._before(place)
        before = self.text[len(begun) : at]  # what a token writes in front of the literal, when it does not begin there
        found = self.log_probabilities[place] if place < len(self.log_probabilities) else {}
        weights: dict[str, float] = {}
        for token, log_probability in found.items():
            text = self.spell((*self.tokens[:place], token))[len(begun) :]
            if token == self.tokens[place]:
                meant: str | None = value if value in numbers else None
            else:
                meant = _meant(text.removeprefix(before), numbers) if text.startswith(before) else None
            if meant is not None:
                weights[meant] = weights.get(meant, 0.0) + exp(log_probability)
        weights = {name: weight ** (1 / temperature) for name, weight in weights.items()}
        total = sum(weights.values())
        return mean_of([(numbers[name], weight / total) for name, weight in weights.items()]) if total else None

    def _before(self, count: int) -> str:
        """The text of the first tokens."""
        return self.spell(self.tokens[:count]) if count else ""


def mean_of(weighed: Sequence[tuple[float, float]]) -> float:
    """Of (number, probability), whose probabilities sum to one but for rounding: within the numbers' range."""
    mean = fsum(number * probability for number, probability in weighed)
    numbers = [number for number, _ in weighed]
    return min(max(mean, min(numbers)), max(numbers))


def _meant(text: str, numbers: Mapping[str, float]) -> str | None:
    """The first value that begins with a token's text, or that this text begins with and then ends."""
    if not text:
        return None
    return next(
        (name for name in numbers if name.startswith(text) or re.match(f'{re.escape(name)}["\\s,}}\\]]', text)), None
    )


def literals(text: str) -> Mapping[Path, int]:
    """Where each string (behind its quotation mark), number, true, false and null of a JSON text begins."""
    found: dict[Path, int] = {}
    _walk(text, _next(text, 0), (), found)
    return found


def _walk(text: str, at: int, path: Path, found: dict[Path, int]) -> int:
    """Behind the value that stands at `at`. The text is JSON."""
    if text[at] not in "{[":
        found[path] = at + (text[at] == '"')
        return json.JSONDecoder().raw_decode(text, at)[1]
    listed, index = text[at] == "[", 0
    at = _next(text, at + 1)
    while text[at] not in "}]":
        key: str | int = index
        if not listed:
            key, at = json.JSONDecoder().raw_decode(text, at)
            at = _next(text, _next(text, at) + 1)
        at = _next(text, _walk(text, at, (*path, key), found))
        at = _next(text, at + 1) if text[at] == "," else at
        index += 1
    return at + 1


def _next(text: str, at: int) -> int:
    """Where something stands, behind white space."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def written(value: Any) -> str:
    """A literal as a category's name has it."""
    return value if isinstance(value, str) else json.dumps(value)

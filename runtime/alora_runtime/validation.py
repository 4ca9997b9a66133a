"""What makes a request wrong in itself. No torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection

from alora_runtime.cache.tree import Uses
from alora_runtime.errors import CapacityError, RequestError, hint
from alora_runtime.requests import Request


def check_request(request: Request, adapters: Collection[str], vocabulary: int) -> None:
    """Raises RequestError with the limit that the request oversteps."""
    for index, run in enumerate(request.runs):
        if run.adapter is not None and run.adapter not in adapters:
            raise RequestError(f"run {index} has an unknown adapter {run.adapter!r}{hint(run.adapter, adapters)}")
        _check_tokens(f"run {index}", run.tokens, vocabulary)
    if not request.prompt_length:
        raise RequestError("the prompt is empty: a request needs at least one token")
    for index, choice in enumerate(request.choices or ()):
        _check_tokens(f"choice {index}", choice, vocabulary)
    if request.choices is not None and request.constraint is not None:
        raise RequestError("a request has either choices or a constraint")
    if not all(request.stop_strings):
        raise RequestError("a stop string is empty")
    for field, (low, high) in LIMITS.items():
        value = getattr(request, field)
        if value is not None and not low <= value <= high:
            raise RequestError(f"{field} must be between {low} and {high}, not {value}")


def uses_of(request: Request) -> Uses:
    """`next_use` as the tree takes it. Raises RequestError where it says nothing sensible."""
    given = request.next_use
    pairs = [(None, given)] if given is None or isinstance(given, int) else list(given)
    uses = [(sys.maxsize if end is None else end, later) for end, later in pairs]
    ends = [end for end, _ in uses]
    if ends != sorted(set(ends)) or any(end < 1 for end in ends) or any(later and later < 0 for _, later in uses):
        raise RequestError(f"next_use must be at least 0, for positions from 1 on that ascend, not {given!r}")
    return uses


def check_length(prompt: int, answer: int, room: int, positions: int, slots: int) -> None:
    """`answer`: most tokens of it. `room`: most that are fed after the prompt. Raises RequestError or CapacityError."""
    if prompt + answer - 1 > positions:
        raise RequestError(
            f"a prompt of {prompt} tokens and an answer of {answer} are more than the model's {positions} positions"
        )
    if prompt + room > slots:
        raise CapacityError(f"the request needs {prompt + room} cache tokens, and the arena has {slots}")


LIMITS = {
    "max_tokens": (1, math.inf),
    "temperature": (0.0, math.inf),
    "top_p": (1e-9, 1.0),
    "top_k": (0, math.inf),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1e-9, math.inf),
    "logprobs": (0, math.inf),
    "timeout": (0.0, math.inf),
}
"""The least and the most that each setting may be; NaN is never between."""


def _check_tokens(place: str, tokens: object, vocabulary: int) -> None:
    for token in tokens:  # type: ignore[attr-defined]
        if not isinstance(token, int) or not 0 <= token < vocabulary:
            raise RequestError(f"{place} has token id {token!r}; the model's ids are 0 to {vocabulary - 1}")

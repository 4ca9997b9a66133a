"""What makes a request wrong in itself: every field's type and range. No torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import index, is_
from typing import Any, TypeVar

from alora_runtime.cache.tree import Uses
from alora_runtime.errors import CapacityError, RequestError, hint, shown
from alora_runtime.requests import KEY_BYTES, Request, Run, Suspended, TextTrigger, Trigger

T = TypeVar("T")

SEEDS = 1 << 128

INTEGERS: dict[str, tuple[float, float]] = {
    "max_tokens": (1, math.inf),
    "top_k": (0, sys.maxsize),
    "logprobs": (0, math.inf),
    "seed": (-SEEDS, SEEDS),
}
NUMBERS = {
    "temperature": (0.0, sys.float_info.max),
    "top_p": (1e-9, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1e-9, sys.float_info.max),
    "timeout": (0.0, math.inf),
}
"""The least and the most that each setting may be; NaN is never between."""


def checked(request: Request, adapters: Collection[str], vocabulary: int) -> Request:
    """The same with Python's own numbers, whosever they were, but for the tokens of its prompt, which may be too long
    to look at each. Raises RequestError with the limit that it oversteps."""
    if not isinstance(request, Request):
        raise RequestError(f"a request must be a Request, not a {type(request).__name__}")
    if request.choices is not None and request.constraint is not None:
        raise RequestError("a request has either choices or a constraint")
    if request.constraint is not None and not callable(getattr(request.constraint, "matcher", None)):
        raise RequestError(f"constraint must have a method matcher, and {shown(request.constraint)} has none")
    if request.pin is not None:
        check_pin(request.pin)
    for text in request.stop_strings:
        if not isinstance(text, str) or not text:
            raise RequestError(
                "a stop string is empty" if text == "" else f"stop strings must be texts, not {shown(text)}"
            )
    changed: dict[str, Any] = {}
    for field, (low, high) in INTEGERS.items():
        changed[field] = _between(field, integer(field, getattr(request, field)), low, high)
    for field, (low, high) in NUMBERS.items():
        if (value := getattr(request, field)) is not None or field != "timeout":
            changed[field] = _between(field, number(field, value), low, high)
    changed["ignore_eos"] = truth("ignore_eos", request.ignore_eos)
    for field in ("stop_tokens", "masked_tokens"):
        changed[field] = _tokens(field, getattr(request, field), vocabulary)
    if request.triggers:
        changed["triggers"] = tuple(_trigger(trigger, vocabulary) for trigger in request.triggers)
    if request.resumes is not None:
        changed["resumes"] = _suspended(request.resumes, vocabulary)
    if request.choices is not None:
        choices = tuple([_tokens(f"choice {place}", own, vocabulary) for place, own in enumerate(request.choices)])
        changed["choices"] = _unless_same(choices, request.choices)
    for place, run in enumerate(request.runs):
        _check_run(place, run, adapters)
    if not any(run.tokens for run in request.runs):
        raise RequestError("the prompt is empty: a request needs at least one token")
    request = _with(request, **changed)
    _check_calls(request)
    return request


def with_checked_tokens(request: Request, vocabulary: int) -> Request:
    """The same with Python's own numbers in its prompt. Raises RequestError where one is no token id."""
    runs = tuple([_checked_run(place, run, vocabulary) for place, run in enumerate(request.runs)])
    return _with(request, runs=_unless_same(runs, request.runs))


def _with(request: Request, **changed: Any) -> Request:
    """The same object where nothing is changed."""
    changed = {field: value for field, value in changed.items() if value is not getattr(request, field)}
    return replace(request, **changed) if changed else request


def _unless_same(found: Sequence[T], given: Sequence[T]) -> Sequence[T]:
    """`given`, where nothing in it was changed."""
    return given if all(map(is_, found, given)) else found


def uses_of(request: Request) -> Uses:
    """`next_use` as the tree takes it. Raises RequestError where it says nothing sensible."""
    given: Any = request.next_use
    if given is None:
        return []
    wrong = RequestError(f"next_use must be at least 0, for positions from 1 on that ascend, not {shown(given)}")
    try:
        pairs = list(given) if isinstance(given, Iterable) else [(None, given)]
        uses = [
            (sys.maxsize if end is None else integer("", end), None if later is None else integer("", later))
            for end, later in pairs
        ]
    except (TypeError, ValueError, RequestError):
        raise wrong from None
    ends = [end for end, _ in uses]
    if ends != sorted(set(ends)) or any(end < 1 for end in ends) or any(later and later < 0 for _, later in uses):
        raise wrong
    return uses


def lengths_of(retained: Mapping[int, int]) -> dict[int, int]:
    """By ticket, as `Engine.let_go` takes them. Raises RequestError where one is no number of tokens."""
    if not isinstance(retained, Mapping):
        raise RequestError(f"what is retained must be numbers of tokens by ticket, not {shown(retained)}")
    lengths = {integer("a ticket", ticket): integer("a length", length) for ticket, length in retained.items()}
    for length in lengths.values():
        _between("a length", length, 0, math.inf)
    return lengths


def check_pin(pin: object) -> None:
    """Raises RequestError for what is no name."""
    if not isinstance(pin, str):
        raise RequestError(f"pin must be a name, not {shown(pin)}")


def check_length(prompt: int, answer: int, room: int, positions: int, slots: int) -> None:
    """`answer`: most tokens of it. `room`: most that are fed after the prompt. Raises RequestError or CapacityError."""
    if prompt + answer - 1 > positions:
        raise RequestError(
            f"a prompt of {prompt} tokens and an answer of {shown(answer)} are more than the model's {positions} "
            "positions"
        )
    if prompt + room > slots:
        raise CapacityError(f"the request needs {prompt + room} cache tokens, and the arena has {slots}")


def _check_calls(request: Request) -> None:
    """Raises RequestError where what is named for calls contradicts itself, or the rest."""
    masked = set(request.masked_tokens)
    for told, field in (("triggers", request.triggers), ("resumes", request.resumes)):
        if field and request.choices is not None:
            raise RequestError(f"a request with choices writes nothing that {told} could be for: leave one of them out")
    for place, choice in enumerate(request.choices or ()):
        if not masked.isdisjoint(choice):
            raise RequestError(f"choice {place} has token id {min(masked & set(choice))}, which is in masked_tokens")
    if request.room < 1:
        raise RequestError(
            f"max_tokens is {shown(request.max_tokens)}, and the answer that is resumed has that many already"
        )
    names: set[str] = set()
    written: dict[object, str] = {}
    for trigger in request.triggers:
        if trigger.name in names:
            raise RequestError(f"two triggers are named {trigger.name!r}")
        for whole in trigger.texts if isinstance(trigger, TextTrigger) else (trigger.tokens,):
            if written.setdefault(whole, trigger.name) != trigger.name:
                raise RequestError(f"triggers {written[whole]!r} and {trigger.name!r} are the same: {whole!r}")
        if isinstance(trigger, Trigger):
            _check_writable(trigger, masked, set(request.stop_tokens))
        names.add(trigger.name)


def _check_writable(trigger: Trigger, masked: Collection[int], stops: Collection[int]) -> None:
    for token in trigger.tokens:
        if token in masked:
            raise RequestError(f"trigger {trigger.name!r} has token id {token}, which is in masked_tokens")
    for token in trigger.tokens[:-1]:
        if token in stops:
            raise RequestError(f"trigger {trigger.name!r} goes on after token id {token}, which is in stop_tokens")


def _trigger(trigger: object, vocabulary: int) -> Trigger | TextTrigger:
    if not isinstance(trigger, Trigger | TextTrigger):
        raise RequestError(f"triggers must be Trigger or TextTrigger, not {type(trigger).__name__}")
    if not isinstance(trigger.name, str) or not trigger.name:
        raise RequestError(f"a trigger's name must be a text, not {shown(trigger.name)}")
    if isinstance(trigger, TextTrigger):
        if isinstance(trigger.also, str) or not isinstance(trigger.also, Sequence):
            raise RequestError(f"trigger {trigger.name!r}: also must be a list of texts, not {shown(trigger.also)}")
        for spelt in trigger.texts:
            if not isinstance(spelt, str) or not spelt:
                raise RequestError(f"trigger {trigger.name!r} must have a text, not {shown(spelt)}")
        return replace(trigger, control=truth("control", trigger.control), also=tuple(trigger.also))
    if not trigger.tokens:
        raise RequestError(f"trigger {trigger.name!r} has no tokens")
    return replace(trigger, tokens=_tokens(f"trigger {trigger.name!r}", trigger.tokens, vocabulary))


def _suspended(resumes: object, vocabulary: int) -> Suspended:
    if not isinstance(resumes, Suspended):
        raise RequestError(f"resumes must be a Suspended, not a {type(resumes).__name__}")
    if not isinstance(resumes.key, bytes) or len(resumes.key) != KEY_BYTES:
        raise RequestError(f"the key of what is resumed must be {KEY_BYTES} bytes, not {shown(resumes.key)}")
    reply, written = (_tokens("what is resumed", own, vocabulary) for own in (resumes.reply, resumes.written))
    first = _tokens("what is resumed", [resumes.first], vocabulary)[0]
    return replace(resumes, reply=reply, written=written, first=first, dropped=truth("dropped", resumes.dropped))


def _check_run(place: int, run: object, adapters: Collection[str]) -> None:
    if not isinstance(run, Run):
        raise RequestError(f"run {place} must be a Run, not a {type(run).__name__}")
    name = run.adapter
    if name is not None and not (isinstance(name, str) and name in adapters):
        raise RequestError(f"run {place} has an unknown adapter {shown(name)}{hint(name, adapters)}")


def _checked_run(place: int, run: Run, vocabulary: int) -> Run:
    if not run.tokens or (run.span and run.span[0] >= 0 and run.span[1] < vocabulary):
        return run
    return Run(_tokens(f"run {place}", run.tokens, vocabulary), run.adapter)


def _tokens(place: str, tokens: Sequence[Any], vocabulary: int) -> Sequence[int]:
    """The same object where it holds Python's own integers: a prompt may be long."""
    if not tokens:
        return tokens
    if set(map(type, tokens)) != {int}:
        tokens = tuple(_converted(index, token, f"{place} has token id {shown(token)}", vocabulary) for token in tokens)
    if min(tokens) < 0 or max(tokens) >= vocabulary:
        wrong = next(token for token in tokens if not 0 <= token < vocabulary)
        raise RequestError(f"{place} has token id {shown(wrong)}; the model's ids are 0 to {vocabulary - 1}")
    return tokens


def _converted(convert: Callable[[Any], int], token: object, what: str, vocabulary: int) -> int:
    try:
        return convert(_no_bool(token))
    except Exception as error:
        raise RequestError(f"{what}; the model's ids are 0 to {vocabulary - 1}") from error


def integer(field: str, value: object) -> int:
    """Python's own, of whatever is one. Raises RequestError."""
    if type(value) is int:
        return value
    try:
        return index(_no_bool(value))
    except Exception as error:  # whatever a class of somebody's own raises
        raise RequestError(f"{field} must be an integer, not {shown(value)}") from error


def seed_of(value: object) -> int:
    """A seed, as in Request. Raises RequestError."""
    return int(_between("seed", integer("seed", value), *INTEGERS["seed"]))


def truth(field: str, value: object) -> bool:
    """An array of several has none."""
    if type(value) is bool:
        return value
    try:
        return bool(value)
    except Exception as error:
        raise RequestError(f"{field} must be true or false, not {shown(value)}") from error


def number(field: str, value: object) -> float:
    """Of numpy and torch as well: whatever makes itself a float, which texts don't."""
    if type(value) is float:
        return value
    try:
        return float(_no_bool(value).__float__())
    except Exception as error:
        raise RequestError(f"{field} must be a number, not {shown(value)}") from error


def _no_bool(value: Any) -> Any:
    """Python takes True for 1, numpy's and torch's as well; a caller who gives it means something else."""
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        raise TypeError
    return value


def _between(field: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise RequestError(f"{field} must be between {low} and {high}, not {shown(value)}")
    return value

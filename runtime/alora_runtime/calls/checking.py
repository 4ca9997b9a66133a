"""What makes a caller wrong in itself: told before anything runs. No torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from alora_runtime.calls.records import Callee, Caller
from alora_runtime.errors import RequestError, hint, shown
from alora_runtime.requests import Request, Run
from alora_runtime.validation import checked


def check_caller(caller: Caller, adapters: Collection[str], vocabulary: int) -> None:
    """Raises RequestError."""
    if not isinstance(caller, Caller):
        raise RequestError(f"a caller must be a Caller, not a {type(caller).__name__}")
    if not callable(caller.handler):
        raise RequestError(f"a handler must be callable, and {shown(caller.handler)} is not")
    _check_limits("", caller)
    for callee in caller.callees:
        if not isinstance(callee, Callee):
            raise RequestError(f"callees must be Callee, not {type(callee).__name__}")
    names = [callee.name for callee in caller.callees]
    invoked = {"the caller": names if caller.invokes is None else caller.invokes}
    for who, invokes in {**invoked, **{repr(callee.name): callee.invokes for callee in caller.callees}}.items():
        for name in invokes:
            if name not in names:
                raise RequestError(f"{who} may invoke an unknown {name!r}{hint(name, names)}")
    triggers = [callee.trigger for callee in caller.callees]
    _check("the caller's request", replace(caller.request, triggers=triggers), caller.request, adapters, vocabulary)
    for callee in caller.callees:
        _check_callee(callee, caller, adapters, vocabulary)


def _check_limits(whose: str, limited: Caller | Callee) -> None:
    for field in ("budget", "depth"):
        value = getattr(limited, field)
        left_out = value is None and isinstance(limited, Callee)
        if not left_out and (type(value) is not int or value < 1):
            raise RequestError(f"{whose}{field} must be a whole number of at least 1, not {shown(value)}")


def _check_callee(callee: Callee, caller: Caller, adapters: Collection[str], vocabulary: int) -> None:
    who = f"callee {callee.name!r}"
    _check_limits(f"{who}: ", callee)
    if callee.answer.runs:
        raise RequestError(f"{who}: its answer must have no runs; they are made when it is called")
    if not callee.before:
        raise RequestError(f"{who}: a trigger that is a text needs an invocation in tokens")
    if type(callee.active_at) is not int or not 0 <= callee.active_at <= len(callee.before):
        raise RequestError(f"{who}: active_at must be from 0 to {len(callee.before)}, not {shown(callee.active_at)}")
    triggers = [other.trigger for other in caller.callees if other.name in callee.invokes]
    answer = replace(callee.answer, runs=[Run(callee.before, callee.adapter)], triggers=triggers)
    _check(who, answer, callee.answer, adapters, vocabulary)


def _check(who: str, request: Request, written: Request, adapters: Collection[str], vocabulary: int) -> None:
    if written.triggers:
        raise RequestError(f"{who}: its triggers are those of whom it may invoke; leave them out")
    if written.resumes is not None:
        raise RequestError(f"{who}: it resumes another request; only requests of the engine can")
    try:
        checked(request, adapters, vocabulary)
    except RequestError as error:
        raise type(error)(f"{who}: {error}") from error

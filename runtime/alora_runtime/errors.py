"""What the engine raises.

EngineError
├── ModelError       a folder is not a model, or its layers cannot share KV token by token
├── AdapterError     an adapter folder is incomplete, uses an unsupported field, or belongs to another base
├── RequestError     a request is wrong in itself: empty prompt, unknown adapter, token out of range, too long
│   └── ConstraintError   a grammar does not compile, or no token can continue it
├── CallError        an adapter that a generation called did not answer
│   └── CallLimitError    one call more than a budget or a depth allows
├── CapacityError    one request needs more cache than the whole arena has
└── BusyError        the engine is used by another thread, from inside itself, or after a fork
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EngineError(Exception):
    """Any error that the engine raises on purpose; its text is meant for people: `message` says what is wrong, and
    where, `help` what to do about it, where that is known."""

    def __init__(self, message: str = "", help: str | None = None) -> None:
        super().__init__(f"{message}; {help}" if help else message)
        self.message, self.help = message, help


class ModelError(EngineError):
    """The model folder cannot be served; the message names the reason."""


class AdapterError(EngineError):
    """The adapter cannot be applied; the message names adapter and field, or module and shapes."""


class RequestError(EngineError):
    """The request is wrong in itself; the message states the limit."""


class ConstraintError(RequestError):
    """The constraint does not compile, or the text so far has no continuation under it."""


class CallError(EngineError):
    """Somebody was called and gave no answer; the message says why, and what was spent."""


class CallLimitError(CallError):
    """One call more than its caller allows; the message states the limit, and what was spent."""


class CapacityError(EngineError):
    """The request can never fit; the message states what it needs and what there is, in tokens."""


class BusyError(EngineError):
    """The engine can't be used here and now; the message says who uses it, or what to do. `passing`: may it be tried
    again?"""

    passing = True


def hint(name: object, known: Iterable[str]) -> str:
    """For the end of a message: the name that was meant, or those that there are."""
    names = sorted(known)
    close = get_close_matches(name if isinstance(name, str) else "", names, 1)
    return f" (did you mean {close[0]!r}?)" if close else f"; there are {', '.join(names) or 'none'}"


def shown(value: object) -> str:
    """What somebody gave, for a message: cut where it is long, and only its type where it can't be written."""
    try:
        text = repr(value)
    except Exception:  # of its own, or because an integer has more digits than Python writes
        return f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


LONGEST_SHOWN = 200

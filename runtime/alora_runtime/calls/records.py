"""Who may call whom, and what came of it: frozen values. No torch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alora_runtime.requests import Completion, Delta, Request, TextTrigger, Trigger

Return = Literal["keep", "drop", "stop"]
"""How a caller goes on. keep: behind invocation and answer, as tokens of its own. drop: as if it had not called, and
without calling again at once. stop: not at all."""


@dataclass(frozen=True)
class Callee:
    """Somebody who may be called, under the name of the trigger.

    trigger: what a caller writes. adapter: under which is answered; None: the base model. by_caller: whoever calls
        answers it, under what it writes under itself, and `adapter` says nothing.
    answer: how; a request without runs.
    invocation: the tokens before the answer, the trigger's own where none are given (a text has none). The adapter is
        active from number `active_at` of them on.
    invokes: whom the answer may call in turn, by name. budget, depth: limits of its own for these, as a caller has
        them; None: those of whoever calls it are enough.
    """

    trigger: Trigger | TextTrigger
    adapter: str | None
    answer: Request = field(default_factory=lambda: Request(()))
    invocation: Sequence[int] = ()
    active_at: int = 0
    invokes: Sequence[str] = ()
    budget: int | None = None
    depth: int | None = None
    by_caller: bool = False

    @property
    def name(self) -> str:
        """The trigger's."""
        return self.trigger.name

    @property
    def before(self) -> Sequence[int]:
        """What stands before its answer."""
        return self.invocation or (self.trigger.tokens if isinstance(self.trigger, Trigger) else ())


@dataclass(frozen=True)
class Called:
    """A call. depth: 1 for one that the caller itself makes. place, text: how many tokens of its caller's reply, and
    which text, stand before it. answer: what came of it; None while it is under way. back: how its caller went on.

    All requests that an answer takes, where it calls in turn, make one completion.
    """

    name: str
    depth: int
    place: int
    text: str
    answer: Completion | None = None
    back: Return | None = None


Handler = Callable[[Called], Return | Awaitable[Return]]
"""Decides how a caller goes on. What it raises ends the exchange as an error. Only asyncio can wait for one."""


def keep(_: Called) -> Return:
    """The handler that keeps every call."""
    return "keep"


@dataclass(frozen=True)
class Caller:
    """A generation that may call.

    request: how it begins; without triggers of its own. Its time-out is that of everything together.
    callees: whoever may be called, by it (`invokes`, by default all) or by another of them.
    budget: most calls, of all depths together. depth: most callers that wait for each other.
    """

    request: Request
    callees: Sequence[Callee]
    budget: int
    depth: int = 1
    handler: Handler = keep
    invokes: Sequence[str] | None = None


@dataclass(frozen=True)
class Exchange:
    """What came of a caller.

    completion: its reply, without calls and answers, put together of all its requests; counters are their sums. With
        finish "invoked" a handler said "stop".
    calls: all calls in the order in which they began.
    """

    completion: Completion
    calls: tuple[Called, ...]


Hearer = Callable[[Delta | Called], None]
"""Told of the growth of the caller's own reply, and of each call when it begins, when its answer is there, and when its
caller goes on."""

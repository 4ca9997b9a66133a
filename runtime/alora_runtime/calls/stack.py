"""One generation with all its calls, as the requests that it takes: each follows from what came of the one before.

Nothing here runs anything. Whoever does looks at what is wanted: an answer to `request`, a decision about `call`, or
nothing more, when there is an `exchange`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic
from typing import Any

from alora_runtime.calls.records import Called, Caller, Exchange, Hearer, Return
from alora_runtime.errors import CallError, CallLimitError, EngineError
from alora_runtime.requests import Completion, Delta, Finish, Request, Run, Suspended

SOON = 4
"""So many requests later one goes on from what a caller leaves; those of others may come between."""


@dataclass
class _Level:
    """One that writes, or waits for one it called. deadline: in seconds of the clock. number: of the call that it
    answers; -1 for the caller. budget, depth: of what it may begin; made: how many calls it did begin, by itself or
    through others. parts: what came of its requests; request: the latest of them."""

    request: Request
    deadline: float
    number: int
    budget: float
    depth: float
    made: int = 0
    parts: list[Completion] = field(default_factory=list)

    @property
    def adapter(self) -> str | None:
        return self.request.runs[-1].adapter

    @property
    def suspended(self) -> Suspended:
        suspended = self.parts[-1].suspended
        assert suspended is not None
        return suspended

    def context(self) -> list[Run]:
        """All that stands before its call."""
        earlier = self.request.resumes.reply if self.request.resumes else ()
        return [*self.request.runs, Run(self.parts[-1].tokens[len(earlier) :], self.adapter)]

    def completion(self, finish: Finish, error: BaseException | None = None) -> Completion:
        """All its parts as one."""
        if not self.parts:
            return Completion((), "", finish, error=error)
        last = self.parts[-1]
        logprobs = [row for part in self.parts for row in part.logprobs]
        sums = {name: sum(getattr(part, name) for part in self.parts) for name in COUNTERS}
        return replace(last, finish=finish, error=error, logprobs=tuple(logprobs[: len(last.tokens)]), **sums)


COUNTERS = ("reused", "prefilled", "generated", "forced")


class CallStack:
    """Those who write or wait for one they called, the caller first.

    request: what is to be answered now; `hear` is told of its growth where somebody `listens`. calls: all so far.
    exchange: what came of everything.
    """

    def __init__(self, caller: Caller, eos: Collection[int] = (), hearer: Hearer | None = None) -> None:
        """`eos`: the model's own end-of-sequence tokens."""
        self.request: Request | None = None
        self.exchange: Exchange | None = None
        self.calls: list[Called] = []
        self.caller, self._eos, self._hearer = caller, eos, hearer
        self._callees = {callee.name: callee for callee in caller.callees}
        self._levels: list[_Level] = []
        self._answered = -1  # the call that is to be decided about
        self._told = 0, 0
        self._spent = dict.fromkeys(COUNTERS, 0)
        invokes = tuple(self._callees) if caller.invokes is None else caller.invokes
        self._open(caller.request, invokes, caller.budget, caller.depth)

    @property
    def call(self) -> Called | None:
        """What is to be decided about now."""
        return self.calls[self._answered] if self._answered >= 0 else None

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know how `request` grows."""
        return self._hearer is not None and len(self._levels) == 1

    def hear(self, delta: Delta) -> None:
        """`request` has grown: the caller's own growth is told."""
        if self._hearer is not None and len(self._levels) == 1 and (delta.tokens or delta.text):
            self._told = self._told[0] + len(delta.tokens), self._told[1] + len(delta.text)
            self._hearer(Delta(delta.tokens, delta.text))

    def receive(self, completion: Completion) -> None:
        """What came of `request`."""
        level, self.request = self._levels[-1], None
        level.parts.append(completion)
        for name in COUNTERS:
            self._spent[name] += getattr(completion, name)
        if completion.finish == "invoked":
            self._begin_call(level)
        elif completion.finish in ("cancelled", "timeout", "error"):
            self._break_off(completion)
        else:
            self._close(completion.finish)

    def decide(self, back: Return, onward: Sequence[Run] | None = None, behind: Sequence[int] = ()) -> None:
        """How the caller goes on after `call`. With "keep", it goes on from what it had written, the invocation, the
        answer, and what is `behind` it; or from `onward`, where that is given."""
        level, suspended = self._levels[-1], self._levels[-1].suspended
        answered, self._answered = self._answered, -1
        self._note(answered, back=back)
        if back == "stop":
            self._close("invoked")
        elif len(suspended.written) >= level.request.max_tokens:
            self._close("length")
        else:
            runs = level.context()
            if back == "keep":
                left = (*suspended.invocation, *self.kept(self.calls[answered]), *behind)
                runs = [*runs, Run(left, level.adapter)] if onward is None else [*onward]
            self._send(replace(level.request, runs=runs, resumes=replace(suspended, dropped=back == "drop")))

    def fail(self, error: BaseException) -> None:
        """Nothing can come of what is wanted now, or a hearer failed, who hears no more."""
        self._hearer = None
        if isinstance(error, EngineError) and not isinstance(error, CallError) and self.calls:
            why = f"nothing can go on after the call of {self.calls[-1].name!r}: {error}; {self._bill()}"
            error = _caused(CallError(why), error)
        if self.exchange is None:
            self._end("error", error)
        else:
            self.exchange = replace(
                self.exchange, completion=replace(self.exchange.completion, finish="error", error=error)
            )

    # ---------------------------------------------------------------- levels

    def _open(self, request: Request, invokes: Sequence[str], budget: float | None, depth: float | None) -> None:
        """One more writes."""
        deadline = self._levels[-1].deadline if self._levels else inf
        if request.timeout is not None:
            deadline = min(deadline, monotonic() + request.timeout)
        triggers = tuple(self._callees[name].trigger for name in invokes)
        if request.next_use is None and triggers:
            request = replace(request, next_use=SOON)
        most, deepest = (inf if limit is None else limit for limit in (budget, depth))
        self._levels.append(_Level(request, deadline, len(self.calls) - 1, most, deepest))
        self._send(replace(request, triggers=triggers))

    def _send(self, request: Request) -> None:
        level = self._levels[-1]
        if level.deadline < inf:
            request = replace(request, timeout=max(0.0, level.deadline - monotonic()))
        level.request = self.request = request

    def _begin_call(self, level: _Level) -> None:
        name, depth, part = level.suspended.trigger, len(self._levels), level.parts[-1]
        refused = self._refused(name)
        if refused is not None:
            self._end("error", CallLimitError(f"{refused}: {self._bill()}"))
            return
        for waiting in self._levels:
            waiting.made += 1
        self.calls.append(Called(name, depth, len(part.tokens), part.text))
        self._note(len(self.calls) - 1)
        callee, context = self._callees[name], level.context()
        # Whoever answers himself goes on behind what he wrote, of the texts that invoke it.
        before = level.suspended.invocation if callee.by_caller else callee.before
        head, tail = before[: callee.active_at], before[callee.active_at :]
        later = ((sum(len(run.tokens) for run in context), SOON), (None, SOON if callee.invokes else 0))
        answering = level.adapter if callee.by_caller else callee.adapter
        runs = [*context, Run(head, level.adapter), Run(tail, answering)]
        self._open(replace(callee.answer, runs=runs, next_use=later), callee.invokes, callee.budget, callee.depth)

    def _refused(self, name: str) -> str | None:
        """Why whoever writes may not call: a limit of his own, or of one who waits for him."""
        for at, waiting in enumerate(self._levels):
            depth, of = len(self._levels) - at, "" if at == 0 else f" of {self.calls[waiting.number].name!r}"
            if waiting.made >= waiting.budget:
                spent = "" if at == 0 else f" ({waiting.budget:g} calls)"
                return f"{name!r} is called, and the budget{of} is spent{spent}"
            if depth > waiting.depth:
                return f"{name!r} is called at depth {depth}{of}, and {waiting.depth:g} is the most"
        return None

    def kept(self, call: Called) -> Sequence[int]:
        """What its caller keeps of an answer: all but the token that ended it."""
        assert call.answer is not None
        limits, tokens = self._callees[call.name].answer, call.answer.tokens
        stops = set(limits.stop_tokens)
        if not limits.ignore_eos:
            stops.update(self._eos)
        return tokens[:-1] if call.answer.finish == "stop" and tokens[-1:] and tokens[-1] in stops else tokens

    def _close(self, finish: Finish) -> None:
        """Who writes is done; whoever called it goes on."""
        level = self._levels.pop()
        completion = level.completion(finish)
        if self._levels:
            self._answered = level.number
            self._note(level.number, answer=completion)
        else:
            self._finish(completion)

    def _break_off(self, completion: Completion) -> None:
        """Who writes came to no end: neither does the caller."""
        level, finish, error = self._levels[-1], completion.finish, completion.error
        in_time = monotonic() < self._levels[0].deadline
        if len(self._levels) > 1 and finish != "cancelled" and (in_time or finish != "timeout"):
            why = str(error) if finish == "error" else "it has taken longer than its time-out"
            told = f"{self.calls[level.number].name!r} was called and failed: {why}; {self._bill()}"
            finish, error = "error", _caused(CallError(told), error)
        self._end(finish, error)

    def _end(self, finish: Finish, error: BaseException | None) -> None:
        """Nobody goes on."""
        self.request, self._answered = None, -1
        while len(self._levels) > 1:
            level = self._levels.pop()
            self._note(level.number, answer=level.completion(finish, error))
        self._finish(self._levels.pop().completion(finish, error))

    def _finish(self, completion: Completion) -> None:
        self.exchange = Exchange(completion, tuple(self.calls))
        if self._hearer is not None:
            tokens, letters = self._told
            self._hearer(Delta(completion.tokens[tokens:], completion.text[letters:], completion))

    def _note(self, number: int, **news: Any) -> None:
        """There is news of a call."""
        self.calls[number] = replace(self.calls[number], **news)
        if self._hearer is not None:
            self._hearer(self.calls[number])

    def _bill(self) -> str:
        """What was spent."""
        spent = self._spent
        return (
            f"{len(self.calls)} of {self.caller.budget} calls made, {spent['prefilled']} tokens computed, "
            f"{spent['generated'] + spent['forced']} written"
        )


def _caused(error: BaseException, cause: BaseException | None) -> BaseException:
    """As `raise error from cause` leaves it."""
    error.__cause__ = cause
    return error

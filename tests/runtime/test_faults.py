"""A fault at every line of submit, step, generate and cancel, and after each of them right answers from a sound engine.

A tracer raises at the n-th line that the engine's own files run, as memory that runs out, Ctrl-C and the end of a task
would: for every n where ALORA_FLOW_EVERY_LINE is set, which takes minutes, else for some of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import alora_runtime
from alora_runtime import Completion, Constraint, Delta, Engine, Request, Run, Suspended, TextTrigger, Trigger
from alora_runtime.errors import RequestError
from tests.runtime.conftest import INVOCATION
from tests.runtime.scripts import script

HOME = str(Path(alora_runtime.__file__).parent)
KINDS: tuple[type[BaseException], ...] = (
    MemoryError,
    RuntimeError,
    KeyboardInterrupt,
    SystemExit,
    asyncio.CancelledError,
)
SOME = 120
"""Faults of a test, spread over all lines."""

CONTEXT = tuple(11 * index % 256 for index in range(24))
CALLS = [Trigger("one", INVOCATION), TextTrigger("text", "ab?")]
HALF = Suspended("one", INVOCATION, (65, 66), (65, 66, *INVOCATION), b"k" * 16, INVOCATION[0], dropped=True)
REQUESTS = [
    Request([Run(CONTEXT)], max_tokens=4, ignore_eos=True),
    Request([Run(CONTEXT), Run(INVOCATION, "one")], choices=[(65, 66), (65, 67), (70,)]),
    Request([Run(CONTEXT[:9])], max_tokens=6, constraint=Constraint.regex("[a-c]{3}")),
    Request([Run(CONTEXT[:15])], max_tokens=4, temperature=1.0, seed=3, ignore_eos=True, stop_strings=["@@"]),
    Request([Run(CONTEXT[:12])], max_tokens=6, constraint=script("ab", INVOCATION), triggers=CALLS, masked_tokens=(1,)),
    Request([Run(CONTEXT[:12])], max_tokens=8, resumes=HALF, triggers=CALLS, ignore_eos=True, temperature=1.0),
]
MINE = [*REQUESTS[:2], REQUESTS[4]]


class Listener:
    """Hears a whole answer."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.last: Completion | None = None

    def __call__(self, delta: Delta) -> None:
        assert self.last is None
        self.tokens += delta.tokens
        self.last = delta.completion


@contextmanager
def fault(at: int, kind: type[BaseException]) -> Iterator[list[int]]:
    """Raise `kind` at the `at`-th line that the engine's files run from here; gives the lines that were counted."""
    count = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        if event == "line":
            count[0] += 1
            if count[0] == at:
                raise kind("injected")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


@pytest.fixture(scope="module")
def expected(make_engine: Callable[..., Engine]) -> list[Completion]:
    return [make_engine().generate([request])[0] for request in REQUESTS]


@pytest.fixture(scope="module")
def shared(make_engine: Callable[..., Engine]) -> Engine:
    """One engine for all faults: what one leaves behind, the next ones would find."""
    return make_engine(cache_tokens=200, chunk_tokens=32)


def prepared(engine: Engine) -> dict[int, tuple[Request, Listener]]:
    """Requests under way, two of them heard, in the middle of their answers."""
    engine.forget()
    under_way = {}
    for request in REQUESTS:
        listener = Listener()
        under_way[engine.submit(request, listener)] = request, listener
    return under_way


def injected(error: BaseException | None) -> bool:
    """Whether it is the fault, or what was made of it: a field that can't be read for it, say."""
    return error is not None and ("injected" in str(error) or injected(error.__cause__))


def judge(
    engine: Engine,
    under_way: dict[int, tuple[Request, Listener]],
    given: dict[int, Completion],
    alone: list[Completion],
) -> None:
    """Serve what is left; every answer is right, told once and whole, and nothing is held."""
    engine.check()
    while engine.busy:
        given |= engine.step()
        engine.check()
    assert given.keys() == under_way.keys()
    for ticket, (request, listener) in under_way.items():
        answer = given[ticket]
        if answer.finish == "error" and injected(answer.error):
            continue
        assert listener.last is answer
        if answer.finish == "cancelled":
            continue
        right = alone[REQUESTS.index(request)]
        assert (answer.tokens, answer.text, answer.finish) == (right.tokens, right.text, right.finish)
        earlier = request.resumes.reply if request.resumes else ()
        assert (*earlier, *listener.tokens) == answer.tokens
    assert engine.inspect().held == 0


def places(total: int) -> range:
    """The lines at which to raise."""
    every = "ALORA_FLOW_EVERY_LINE" in os.environ
    return range(1, total + 1, 1 if every else max(1, total // SOME))


def lines(call: Callable[[], object]) -> int:
    """How many of the engine's lines a call runs."""
    with fault(-1, MemoryError) as count:
        call()
    return count[0]


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_a_fault_at_every_line_of_a_step(shared: Engine, expected: list[Completion], steps: int) -> None:
    under_way = prepared(shared)
    given: dict[int, Completion] = {}
    for _ in range(steps):
        given |= shared.step()
    total = lines(lambda: given.update(shared.step()))
    judge(shared, under_way, given, expected)
    for at in places(total):
        under_way, given = prepared(shared), {}
        for _ in range(steps):
            given |= shared.step()
        kind = KINDS[at % len(KINDS)]
        try:
            with fault(at, kind):
                given |= shared.step()
        except kind:
            pass
        judge(shared, under_way, given, expected)


def test_a_fault_at_every_line_of_submit(shared: Engine, expected: list[Completion]) -> None:
    under_way = prepared(shared)
    shared.step()
    more = replace(REQUESTS[0], timeout=100.0, pin="more")
    total = lines(lambda: shared.submit(more))
    while shared.busy:
        shared.step()
    shared.release("more")
    for at in places(total):
        under_way, given = prepared(shared), {}
        given |= shared.step()
        kind = KINDS[at % len(KINDS)]
        # What a number raises when it is asked for its value means that the request is wrong.
        with pytest.raises((kind, RequestError)), fault(at, kind):
            shared.submit(more)
        judge(shared, under_way, given, expected)


def test_a_fault_at_every_line_of_cancel(shared: Engine, expected: list[Completion]) -> None:
    under_way = prepared(shared)
    shared.step()
    total = lines(lambda: shared.cancel(min(under_way)))
    while shared.busy:
        shared.step()
    for at in places(total):
        under_way = prepared(shared)
        given = dict(shared.step())
        kind = KINDS[at % len(KINDS)]
        try:
            with fault(at, kind):
                shared.cancel(min(under_way))
        except kind:
            pass
        judge(shared, under_way, given, expected)


def test_a_fault_at_every_line_of_generate(shared: Engine, expected: list[Completion]) -> None:
    """It takes its own requests back and leaves those of others."""
    under_way = prepared(shared)
    total = lines(lambda: shared.generate(MINE))
    given = dict(shared.step()) if shared.busy else {}
    judge(shared, under_way, given, expected)
    for at in places(total):
        under_way = prepared(shared)
        kind = KINDS[at % len(KINDS)]
        try:
            with fault(at, kind):
                shared.generate(MINE)
        except (kind, RequestError):
            pass
        judge(shared, under_way, {}, expected)
    answers = shared.generate(REQUESTS)
    assert [answer.tokens for answer in answers] == [answer.tokens for answer in expected]


class Once:
    """A constraint that makes one matcher only."""

    made = False

    def matcher(self, vocabulary: Any) -> Any:
        if self.made:
            raise ValueError("only once")
        self.made = True
        return Constraint.regex("[a-c]{9}").matcher(vocabulary)


@pytest.mark.parametrize("which", [0, 2, 3, 5, None])
@pytest.mark.parametrize("ending", ["cancelled", "timeout"])
@pytest.mark.parametrize("later", [0, 1])
def test_what_was_told_is_part_of_an_answer_that_ends_after_a_torn_call(
    engine: Engine, which: int | None, ending: str, later: int
) -> None:
    """It ends before all that had been chosen is chosen again, or can't be begun again."""
    request = replace(REQUESTS[0], constraint=Once()) if which is None else REQUESTS[which]
    deltas: list[Delta] = []
    ticket = engine.submit(replace(request, max_tokens=12, logprobs=1, timeout=3600.0), deltas.append)
    other = engine.submit(REQUESTS[1])
    given = {}
    for _ in range(3):
        given |= engine.step()
    told = sum((delta.tokens for delta in deltas), ())
    assert told
    engine._work.scheduler.commit = _interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        engine.step()
    for _ in range(later):
        given |= engine.step()
    if ending == "cancelled":
        engine.cancel(ticket)
    else:
        engine._deadlines[:] = [(0.0, ticket)]
    while engine.busy:
        given |= engine.step()
    answer = given[ticket]
    assert (answer.finish, given[other].finish) == ("error" if which is None else ending, "choice")
    earlier = request.resumes.reply if request.resumes else ()
    assert answer.tokens[: len(earlier) + len(told)] == (*earlier, *told)
    assert (*earlier, *sum((delta.tokens for delta in deltas), ())) == answer.tokens
    assert answer.text.endswith("".join(delta.text for delta in deltas))
    assert len(answer.logprobs) == answer.generated + answer.forced == len(answer.tokens) - len(earlier)
    engine.check()


def _interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt

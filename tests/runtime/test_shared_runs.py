"""A run that several requests have in common is neither copied nor looked at again: a check on a long thread costs what
it adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alora_runtime import Engine, Request, Run
from alora_runtime.errors import RequestError

CONTEXT = Run(tuple(7 * index % 256 for index in range(60)))
CHECK = Run((257, 40, 258), "one")


def test_it_is_one_object_from_the_request_to_the_cache(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    engine.generate([Request([CONTEXT, CHECK], max_tokens=2)])
    again = Request([CONTEXT, CHECK], max_tokens=2, seed=1)
    engine.submit(again)
    (task,) = engine._tasks.values()
    assert task.request.runs is again.runs
    assert task.live.runs[0][1] is CONTEXT.tokens
    assert CONTEXT.tokens in [run.tokens for run in engine.inspect().runs]
    assert any(run.tokens is CONTEXT.tokens for run in engine.inspect().runs)


class Untouched(tuple[int, ...]):
    """A prompt that nobody may look at, token by token."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("a token was looked at")

    __getitem__ = __iter__  # type: ignore[assignment]


def test_a_prompt_that_is_too_long_is_refused_without_a_look_at_it(make_engine: Callable[..., Engine]) -> None:
    run = Run(CONTEXT.tokens)
    object.__setattr__(run, "tokens", Untouched(range(10**6)))
    with pytest.raises(RequestError, match="a prompt of 1000000 tokens and an answer of 2 are more than"):
        make_engine().submit(Request([run], max_tokens=2))


def test_what_a_run_holds_is_found_out_once() -> None:
    assert CONTEXT.span == (0, 252)
    assert Run((True, 3)).span is None
    assert Run((3.5,)).span is None  # type: ignore[arg-type]

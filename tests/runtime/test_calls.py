"""Generations that call adapters, against a re-enactment in plain Python with one full forward pass for each token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alora_runtime import Engine, Request, Run, Trigger
from alora_runtime.calls.records import Called, Callee, Caller, Exchange, Return
from alora_runtime.calls.serving import Switchboard
from alora_runtime.errors import CallLimitError
from tests.runtime.checkpoints import VOCABULARY, Oracle
from tests.runtime.enacting import Enactment, close
from tests.runtime.scripts import script

CONTEXT = tuple(13 * index % 256 for index in range(20))
WORDS = {"one": (257, 40, 258), "wide": (257, 40), "plain": (259,), "base": (257, 41)}
"""Invocations of one token and of several, with a common beginning, and one the beginning of another."""


def together(engine: Engine, *callers: Caller) -> list[Exchange]:
    """What comes of callers, with every invariant checked after every step."""
    board = Switchboard(engine)
    tickets = [board.submit(one) for one in callers]
    results: dict[int, Any] = {}
    while board.busy:
        results |= board.step()
        engine.check()
    assert engine.inspect().held == 0
    return [results[ticket] for ticket in tickets]


def assert_enacted(oracle: Oracle, caller: Caller, exchange: Exchange) -> None:
    """Calls, tokens and log-probabilities are those of full forward passes."""
    expected = Enactment(oracle, caller)
    assert [(call.name, call.depth, call.place) for call in exchange.calls] == [call[:3] for call in expected.calls]
    assert exchange.completion.finish == expected.root.finish
    assert list(exchange.completion.tokens) == expected.root.tokens
    close(expected.root.rows, exchange.completion.logprobs)
    for call, (*_, answer) in zip(exchange.calls, expected.calls, strict=True):
        if expected.root.finish != "error":
            assert call.answer is not None
            assert list(call.answer.tokens) == answer.tokens
            close(answer.rows, call.answer.logprobs)
    if expected.root.finish == "error":
        assert isinstance(exchange.completion.error, CallLimitError)


WORD = st.sampled_from([*WORDS.values(), *WORDS.values(), (257,), (40, 258)])
PARTS = st.lists(st.tuples(st.integers(0, 2), WORD), max_size=4).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.just(1.0),
        "seed": st.integers(0, 3),
        "repetition_penalty": st.just(1.3),
        "masked_tokens": st.just((5, 6, 7)),
    },
)


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    """Programs of calls: who calls whom, with which words, how often, and what becomes of it."""
    callees = []
    for name in draw(st.lists(st.sampled_from(sorted(WORDS)), min_size=2, unique=True)):
        answer = Request(
            (),
            max_tokens=draw(st.integers(1, 8)),
            ignore_eos=True,
            logprobs=VOCABULARY,
            constraint=script(*draw(PARTS)),
            **draw(SETTINGS),
        )
        trigger = Trigger(name, WORDS[name])
        active_at = draw(st.integers(0, len(WORDS[name])))
        callees.append(Callee(trigger, None if name == "base" else name, answer, active_at=active_at))
    names = [callee.name for callee in callees]
    callees = [
        replace(
            one,
            invokes=draw(st.lists(st.sampled_from(names), unique=True)),
            budget=draw(st.sampled_from([None, None, 1, 2])),
            depth=draw(st.sampled_from([None, None, 1])),
        )
        for one in callees
    ]
    context = [
        Run(CONTEXT[: draw(st.integers(1, 20))]),
        Run(draw(st.sampled_from([(), (1, 2)])), draw(st.sampled_from([None, "wide"]))),
    ]
    request = Request(
        context,
        max_tokens=draw(st.integers(1, 18)),
        ignore_eos=True,
        logprobs=VOCABULARY,
        constraint=script(*draw(PARTS.filter(len))),
        **draw(SETTINGS),
    )
    backs: list[Return] = draw(st.lists(st.sampled_from(["keep", "keep", "drop", "stop"]), min_size=1, max_size=4))

    def handler(call: Called) -> Return:
        return backs[(call.depth + call.place) % len(backs)]

    return Caller(request, callees, draw(st.sampled_from([6, 6, 1, 2])), draw(st.sampled_from([3, 3, 1])), handler)


@given(
    programs=st.lists(callers(), min_size=1, max_size=4),
    slots=st.sampled_from([120, 160, 2000]),
    chunk=st.sampled_from([3, 2048]),
    reuse=st.booleans(),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_programs_of_calls(
    make_engine: Callable[..., Engine], oracle: Oracle, programs: list[Caller], slots: int, chunk: int, reuse: bool
) -> None:
    engine = make_engine(cache_tokens=slots, chunk_tokens=chunk, reuse=reuse)
    engine.inspect().arena.fill_(1e4)
    for caller, exchange in zip(programs, together(engine, *programs), strict=True):
        assert_enacted(oracle, caller, exchange)

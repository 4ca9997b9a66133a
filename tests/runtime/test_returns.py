"""What goes across a call: text, stop strings, a grammar, random numbers, limits; and what a call costs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alora_runtime
from alora_runtime import (
    AsyncEngine,
    Completion,
    Constraint,
    Delta,
    Engine,
    Request,
    Run,
    Suspended,
    TextTrigger,
    Trigger,
)
from alora_runtime.answer.interruptible import Interruptible
from alora_runtime.calls.records import Called, Callee, Caller, Exchange, Return
from alora_runtime.calls.serving import Switchboard, complete
from alora_runtime.calls.stack import SOON, CallStack
from alora_runtime.errors import CallError, CallLimitError, CapacityError, ConstraintError, RequestError
from alora_runtime.schedule.pace import Pace
from tests.runtime.checkpoints import VOCABULARY, Oracle
from tests.runtime.scripts import LETTERS, Script, script
from tests.runtime.test_calls import CONTEXT, assert_enacted, together

ONE, PAD = (257, 40, 258), (259,)


def callee(name: str = "one", word: Sequence[int] = ONE, **fields: Any) -> Callee:
    """Who answers with three tokens."""
    answer = replace(Request((), max_tokens=3, ignore_eos=True, logprobs=VOCABULARY), **fields.pop("answer", {}))
    return Callee(Trigger(name, word), fields.pop("adapter", name), answer, **fields)


def caller(*parts: str | Sequence[int] | int, callees: Sequence[Callee] = (), **fields: Any) -> Caller:
    """Who writes this script."""
    own = {name: fields.pop(name) for name in ("budget", "depth", "handler", "invokes") if name in fields}
    given = {"max_tokens": 16, "ignore_eos": True, "logprobs": VOCABULARY, "constraint": script(*parts), **fields}
    return Caller(Request([Run(CONTEXT)], **given), callees or [callee()], **{"budget": 4, **own})


def always(back: Return) -> Callable[[Called], Return]:
    return lambda _: back


@pytest.mark.parametrize("back", ["keep", "drop", "stop"])
@pytest.mark.parametrize(
    "parts",
    [[ONE], [2, ONE], [2, ONE, 2], [2, ONE, ONE, 1], [2, ONE, PAD, 1], [13, ONE], [15, PAD], [1, ONE, 1, PAD, 1, ONE]],
    ids=["first", "after 2", "in the middle", "twice in a row", "two in a row", "last", "one token, last", "three"],
)
def test_where_a_call_may_stand(
    engine: Engine, oracle: Oracle, parts: list[int | tuple[int, ...]], back: Return
) -> None:
    callees = [callee(), callee("plain", PAD)]
    one = caller(*parts, callees=callees, handler=always(back))
    assert_enacted(oracle, one, together(engine, one)[0])


def test_rows_call_at_different_steps_without_waiting(engine: Engine, oracle: Oracle) -> None:
    callees = [callee(), callee("wide", (257, 41), answer={"max_tokens": 9}), callee("plain", PAD)]
    words = [ONE, (257, 41), PAD]
    many = [caller(place, words[place % 3], 2, words[place % 2], callees=callees, seed=place) for place in range(7)]
    board = Switchboard(engine)
    tickets = [board.submit(one) for one in many]
    done: dict[int, Any] = {}
    steps = []
    while board.busy:
        before = engine.stats.generated + engine.stats.forced
        done |= board.step()
        steps.append(engine.stats.generated + engine.stats.forced - before)
    for ticket, one in zip(tickets, many, strict=True):
        assert_enacted(oracle, one, done[ticket])
    alone = Switchboard(engine)
    alone.submit(many[0])
    longest = 0
    while alone.busy:
        alone.step()
        longest += 1
    assert len(steps) < 2 * longest + 10


def natural(engine: Engine, at: int, count: int, **fields: Any) -> Caller:
    """The model itself writes an invocation: what it writes at a place is made one."""
    request = Request([Run(CONTEXT)], max_tokens=12, ignore_eos=True, logprobs=VOCABULARY, **fields)
    word = engine.generate([request])[0].tokens[at : at + count]
    return Caller(request, [callee("one", word)], 4)


@pytest.mark.parametrize(("at", "count"), [(0, 1), (0, 3), (4, 2), (10, 2)])
@pytest.mark.parametrize("fields", [{}, {"temperature": 1.0, "seed": 4}, {"repetition_penalty": 1.5}])
def test_no_script(engine: Engine, oracle: Oracle, at: int, count: int, fields: dict[str, Any]) -> None:
    for back in ("keep", "drop", "stop"):
        one = replace(natural(engine, at, count, **fields), budget=12, handler=always(back))
        exchange = together(engine, one)[0]
        assert exchange.calls
        assert_enacted(oracle, one, exchange)


@given(
    place=st.integers(0, 8),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.just(1.0),
            "repetition_penalty": st.just(1.4),
            "stop_strings": st.just(["ca", "x"]),
        },
    ),
    seed=st.integers(0, 5),
    grammar=st.sampled_from(["/[a-c]{0,9}/ <|pad|> /[a-c]{4}/", "/[a-c€]{0,9}/ (<|pad|> /[a-c]+/)*", None]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_call_that_leaves_nothing_changes_nothing(
    engine: Engine, place: int, fields: dict[str, Any], seed: int, grammar: str | None
) -> None:
    """Suspended and resumed behind the invocation, an answer is the one that it is without triggers: every random
    number, penalty, mask, stop string and limit is the same."""
    constraint: Any = script(place, PAD) if grammar is None else Constraint.lark(f"start: {grammar}")
    request = Request([Run(CONTEXT)], max_tokens=14, logprobs=5, seed=seed, constraint=constraint, **fields)
    whole = engine.generate([request])[0]
    parts = [engine.generate([replace(request, triggers=[Trigger("pad", PAD)])])[0]]
    while parts[-1].suspended is not None and len(parts[-1].suspended.written) < 14:
        suspended = parts[-1].suspended
        runs = [Run((*CONTEXT, *suspended.written))]
        again = replace(request, triggers=[Trigger("pad", PAD)], runs=runs, resumes=suspended)
        parts.append(engine.generate([again])[0])
    assert parts[-1].text == whole.text
    assert parts[-1].tokens == tuple(token for token in whole.tokens if token not in PAD)
    assert parts[-1].finish in (whole.finish, "invoked")


def heard_of(engine: Engine, one: Caller) -> tuple[Exchange, list[Delta | Called]]:
    """With what a hearer is told."""
    board, heard = Switchboard(engine), []
    board.submit(one, heard.append)
    done: list[Any] = []
    while board.busy:
        done += board.step()
    return done[0][1], heard


@pytest.mark.parametrize("back", ["keep", "drop"])
@pytest.mark.parametrize(
    ("parts", "stops", "text"),
    [
        (["abc", PAD, "def"], ["cd"], "ab"),
        (["ab", PAD, "cd"], ["abcd"], ""),
        (["ab", PAD, "c", PAD, "d"], ["bcd"], "a"),
        (["ab", PAD, "cd", (256,)], ["cde"], "abcd"),
        (["ab", PAD, "cd", (256,)], ["b<", "dc"], "abcd"),
        ([LETTERS.encode("€").ids[:1], PAD, LETTERS.encode("€").ids[1:], "x", (256,)], ["y"], "€x"),
        ([LETTERS.encode("a€").ids[:2], PAD, LETTERS.encode("€").ids[1:], "x"], ["€x"], "a"),
        (["ab", PAD, (256,)], ["bc"], "ab"),
    ],
)
def test_texts_and_stop_strings_go_across_calls(
    engine: Engine, parts: list[str | list[int]], stops: list[str], text: str, back: Return
) -> None:
    one = caller(*parts, stop_strings=stops, ignore_eos=False, callees=[callee("plain", PAD)], handler=always(back))
    exchange, heard = heard_of(engine, one)
    completion = exchange.completion
    assert completion.text == text
    assert completion.finish == ("stop" if (256,) in parts else "stop_string")
    deltas = [delta for delta in heard if isinstance(delta, Delta)]
    assert "".join(delta.text for delta in deltas) == text
    assert sum((delta.tokens for delta in deltas), ()) == completion.tokens
    assert [delta.completion for delta in deltas] == [None] * (len(deltas) - 1) + [completion]
    assert len(completion.logprobs) == len(completion.tokens)
    unheard = together(engine, one)[0].completion
    assert (unheard.tokens, unheard.text, unheard.finish) == (completion.tokens, text, completion.finish)


def test_a_hearer_is_told_of_a_call_three_times(engine: Engine) -> None:
    exchange, heard = heard_of(engine, caller("ab", ONE, "cd"))
    told = [one for one in heard if isinstance(one, Called)]
    assert [(one.answer is None, one.back) for one in told] == [(True, None), (False, None), (False, "keep")]
    assert (told[0].name, told[0].place, told[0].text) == ("one", 2, "ab")
    assert exchange.calls == (told[2],)
    first = next(index for index, one in enumerate(heard) if isinstance(one, Called))
    assert "".join(one.text for one in heard[:first] if isinstance(one, Delta)) == "ab"


COSTS = [(ONE, 0), (ONE, 1), (ONE, 2), (ONE, 3), (PAD, 0), (PAD, 1)]


@pytest.mark.parametrize(("word", "active_at"), COSTS)
@pytest.mark.parametrize("back", ["keep", "drop", "stop"])
def test_what_a_call_costs(
    make_engine: Callable[..., Engine], word: tuple[int, ...], active_at: int, back: Return
) -> None:
    """Its invocation, its answer, and behind these as the caller's own what is not there yet; nothing else."""
    engine = make_engine()
    one = caller(3, word, 4, callees=[callee("one", word, active_at=active_at)], handler=always(back), max_tokens=9)
    exchange = together(engine, one)[0]
    answer = exchange.calls[0].answer
    assert answer is not None
    # Written by the caller itself: the invocation but for its last token is there, as tokens of the caller.
    known = min(active_at, len(word) - 1)
    assert (answer.prefilled, answer.generated) == (len(word) - known, 3)
    own = exchange.completion
    kept = {"keep": 1 + 3 - (active_at == len(word)), "drop": 0, "stop": 0}[back]
    assert own.prefilled == len(CONTEXT) + kept
    written = 3 + len(word) if back == "stop" else 9
    assert own.generated + own.forced == written
    # Each prompt token is a row, and each token that is written but for the last of every request.
    parts = 1 if back == "stop" else 2
    assert engine.stats.rows == own.prefilled + answer.prefilled + (written - parts) + (3 - 1)


def test_a_call_takes_no_pass_beside_those_of_its_tokens(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each token that is written: the prompts of adapter and caller ride in that of their first one."""
    engine, passes = make_engine(), list[int]()
    counted = engine.model.rows
    monkeypatch.setattr(engine.model, "rows", lambda *given, **named: passes.append(1) or counted(*given, **named))
    exchange = together(engine, caller(5, ONE, 5, ONE, 5, max_tokens=21))[0]
    answers = sum(len(call.answer.tokens) for call in exchange.calls if call.answer)
    assert (len(exchange.calls), len(passes)) == (2, 21 + answers)


def test_nobody_waits_for_a_caller_that_is_alone(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prompt is computed at once, as `Engine.generate` does, and not in pieces for the sake of others."""
    engine, passes = make_engine(), list[int]()
    counted = engine.model.rows
    monkeypatch.setattr(engine.model, "rows", lambda *given, **named: passes.append(1) or counted(*given, **named))
    alone = Caller(Request([Run(range(100))], max_tokens=2, ignore_eos=True), [callee()], 1)
    engine._work.scheduler.pace = Pace(1.0, 1.0, 10**9)  # a token a step
    Switchboard(engine).generate([alone])
    assert len(passes) == 2
    engine.forget()
    engine._work.scheduler.pace = Pace(1.0, 1.0, 10**9)
    passes.clear()
    engine.submit(Request([Run((1, 2))], max_tokens=1, ignore_eos=True))
    Switchboard(engine).generate([alone])
    assert len(passes) > 2


def test_a_cached_prefix_may_hold_a_call(make_engine: Callable[..., Engine], oracle: Oracle) -> None:
    """What an earlier call left is neither called again nor in the way; the same again finds all of it."""
    engine = make_engine()
    one = caller(2, ONE, 3, PAD, 2, callees=[callee(), callee("plain", PAD)])
    first, again = together(engine, one)[0], together(engine, one)[0]
    assert (again.completion.tokens, again.calls[0].place) == (first.completion.tokens, 2)
    assert again.completion.prefilled <= 3
    assert first.calls[0].answer is not None
    runs = [Run((*CONTEXT, *first.completion.tokens[:2], *ONE, *first.calls[0].answer.tokens))]
    on_it = Caller(replace(one.request, runs=runs, constraint=script(1, PAD, 2)), one.callees, 4)
    assert_enacted(oracle, on_it, together(engine, on_it)[0])


def test_in_the_middle_of_a_grammar(engine: Engine) -> None:
    grammar = Constraint.lark('start: "{" /[a-c]/ <|pad|> "}" (<|call|> "(" <|go|>)? ";"')
    callees = [callee("plain", PAD), callee("one", (257,))]
    for back in ("keep", "drop"):
        one = caller(constraint=grammar, callees=callees, handler=always(back), ignore_eos=False)
        exchange = together(engine, one)[0]
        assert exchange.calls[0].name == "plain"
        assert exchange.completion.finish == "stop"
        assert exchange.completion.text[0] + exchange.completion.text[2] == "{}"
        assert exchange.completion.text.endswith(";")


def test_answers_under_their_own_limits(engine: Engine) -> None:
    """Choices, a grammar that forces all, one that the length cuts; and one whose stop token is not kept."""
    kept: dict[str, Completion] = {}
    for name, answer in {
        "choice": {"choices": [(65, 66), (67,)]},
        "grammar": {"constraint": Constraint.regex("yes"), "ignore_eos": False, "max_tokens": 9},
        "length": {"constraint": Constraint.regex("[a-z]{5}"), "max_tokens": 3},
    }.items():
        exchange = together(engine, caller(2, ONE, 3, callees=[callee(answer=answer)]))[0]
        own, answered = exchange.completion, exchange.calls[0].answer
        assert answered is not None
        kept[name] = answered
        after = [*own.tokens[:2], *ONE, *[token for token in answered.tokens if token != 256]]
        probe = engine.generate([Request([Run((*CONTEXT, *after))], max_tokens=1)])[0]
        assert probe.tokens[0] == own.tokens[2]
    assert kept["choice"].choice is not None
    assert (kept["grammar"].text, kept["grammar"].finish) == ("yes", "stop")
    assert kept["length"].finish == "length"


def failed(engine: Engine, one: Caller) -> tuple[Exchange, str]:
    """What comes of it, and what people are told."""
    exchange = together(engine, one)[0]
    assert exchange.completion.finish == "error"
    assert exchange.completion.error is not None
    with pytest.raises(type(exchange.completion.error)):
        Switchboard(engine).generate([one])
    return exchange, str(exchange.completion.error)


def test_limits(engine: Engine) -> None:
    exchange, told = failed(engine, caller(1, ONE, 1, ONE, 1, ONE, budget=2))
    assert isinstance(exchange.completion.error, CallLimitError)
    assert told.startswith("'one' is called, and the budget is spent: 2 of 2 calls made, ")
    assert len(exchange.calls) == 2
    recursive = callee(answer={"constraint": script(1, ONE), "max_tokens": 9}, invokes=["one"])
    exchange, told = failed(engine, caller(1, ONE, callees=[recursive], depth=3, budget=9))
    assert isinstance(exchange.completion.error, CallLimitError)
    assert told.startswith("'one' is called at depth 4, and 3 is the most: 3 of 9 calls made, ")
    assert [(call.depth, call.back) for call in exchange.calls] == [(1, None), (2, None), (3, None)]
    assert len(exchange.completion.tokens) == 1


OWN_LIMITS = [
    ({"budget": 1}, "'two' is called, and the budget of 'one' is spent (1 calls): 2 of 9 calls made, "),
    ({"depth": 1}, "'two' is called at depth 2 of 'one', and 1 is the most: 2 of 9 calls made, "),
]


@pytest.mark.parametrize(("limits", "message"), OWN_LIMITS)
def test_limits_of_a_callee(engine: Engine, limits: dict[str, int], message: str) -> None:
    """Its own, for all that it calls in turn and these do, whatever its caller's are."""
    written = {"constraint": script(1, PAD, 1, PAD), "max_tokens": 9}
    two = Callee(Trigger("two", PAD), None, Request((), **written), invokes=["two"] if "depth" in limits else [])
    one = callee(answer=written, invokes=["two"], **limits)
    exchange, told = failed(engine, caller(1, ONE, callees=[one, two], invokes=["one"], depth=5, budget=9))
    assert isinstance(exchange.completion.error, CallLimitError)
    assert told.startswith(message)


def test_a_caller_may_go_on_from_something_else(engine: Engine) -> None:
    """As one does whose call comes back as a turn of its own."""
    stack = CallStack(caller(2, ONE, 3))
    while stack.exchange is None:
        if stack.call is not None:
            before = stack.request
            stack.decide("keep", [Run((*CONTEXT, 70, 71))])
        assert stack.request is not None
        [completion] = engine.generate([stack.request])
        stack.receive(completion)
    own = stack.exchange.completion
    alone = Request([Run((*CONTEXT, 70, 71))], max_tokens=3, ignore_eos=True)
    assert before is None
    assert own.tokens[2:5] == engine.generate([alone])[0].tokens


def test_a_dead_end(engine: Engine) -> None:
    """Of the answer's grammar: the reply up to the call stays, and the cause is told."""
    nothing = callee(answer={"constraint": Script({0: 65}), "masked_tokens": (65,)})
    exchange, told = failed(engine, caller(2, ONE, callees=[nothing]))
    assert isinstance(exchange.completion.error, CallError)
    assert isinstance(exchange.completion.error.__cause__, ConstraintError)
    assert told.startswith("'one' was called and failed: no token can continue the answer")
    assert "1 of 4 calls made" in told
    assert len(exchange.completion.tokens) == 2


@pytest.mark.parametrize(("slots", "length", "cause"), [(240, 200, CapacityError), (2000, 220, RequestError)])
def test_what_is_kept_may_be_too_long(
    make_engine: Callable[..., Engine], slots: int, length: int, cause: type[Exception]
) -> None:
    endless = callee(answer={"max_tokens": length})
    exchange, told = failed(make_engine(cache_tokens=slots), caller(2, ONE, 20, max_tokens=30, callees=[endless]))
    assert isinstance(exchange.completion.error, CallError)
    assert isinstance(exchange.completion.error.__cause__, cause)
    assert told.startswith("nothing can go on after the call of 'one': ")
    assert told.endswith(f"; 1 of 4 calls made, 23 tokens computed, {5 + length} written")
    assert len(exchange.completion.tokens) == 2


def test_a_handler_that_fails(engine: Engine) -> None:
    def handler(_: Called) -> Return:
        raise ValueError("no")

    exchange, told = failed(engine, caller(2, ONE, 2, handler=handler))
    assert (told, len(exchange.completion.tokens)) == ("no", 2)
    _, told = failed(engine, caller(2, ONE, 2, handler=lambda _: "forget"))  # type: ignore[arg-type, return-value]
    assert told == "the handler of a call of 'one' must return keep, drop or stop, not 'forget'"


def test_an_interrupt_ends_its_own_exchange_and_is_raised(engine: Engine) -> None:
    def handler(_: Called) -> Return:
        raise KeyboardInterrupt

    board = Switchboard(engine)
    interrupted, other = board.submit(caller(2, ONE, 2, handler=handler)), board.submit(caller(2, ONE, 2))
    done: dict[int, Any] = {}
    raised = 0
    while board.busy:
        try:
            done |= board.step()
        except KeyboardInterrupt:
            raised += 1
        engine.check()
    assert raised == 1
    assert isinstance(done[interrupted].completion.error, KeyboardInterrupt)
    assert done[other].completion.finish == "length"


@pytest.mark.parametrize("steps", range(12))
def test_cancelled_at_any_moment(engine: Engine, steps: int) -> None:
    board = Switchboard(engine)
    nested = callee(answer={"constraint": script(1, PAD), "max_tokens": 5}, invokes=["plain"])
    ticket = board.submit(caller(2, ONE, 1, callees=[nested, callee("plain", PAD)], depth=2))
    other = board.submit(caller(1, ONE, 4))
    done: dict[int, Any] = {}
    for _ in range(steps):
        done |= board.step()
    board.cancel(ticket)
    while board.busy:
        done |= board.step()
        engine.check()
    assert done[ticket].completion.finish == "cancelled"
    assert done[other].completion.tokens == together(engine, caller(1, ONE, 4))[0].completion.tokens
    assert engine.inspect().held == 0


def test_time_outs(engine: Engine) -> None:
    """Of everything together: what there is. Of an answer alone: an error that says so."""
    endless = callee(answer={"max_tokens": 200})
    exchange = together(engine, caller(2, ONE, callees=[endless], timeout=0.02))[0]
    assert exchange.completion.finish == "timeout"
    slow = callee(answer={"max_tokens": 200, "timeout": 0.0})
    exchange, told = failed(engine, caller(2, ONE, callees=[slow], timeout=100.0))
    assert isinstance(exchange.completion.error, CallError)
    assert told.startswith("'one' was called and failed: it has taken longer than its time-out; ")
    assert len(exchange.completion.tokens) == 2


@pytest.mark.parametrize("slots", [44, 60, 100])
def test_preempted_and_evicted_in_the_middle(make_engine: Callable[..., Engine], oracle: Oracle, slots: int) -> None:
    engine = make_engine(cache_tokens=slots, chunk_tokens=8)
    callees = [callee(answer={"max_tokens": 6}), callee("plain", PAD)]
    many = [
        replace(one, request=replace(one.request, runs=[Run((index, *CONTEXT))]))
        for index, one in enumerate([caller(2, ONE, 2, PAD, 3, callees=callees, max_tokens=10)] * 4)
    ]
    for one, exchange in zip(many, together(engine, *many), strict=True):
        assert_enacted(oracle, one, exchange)
    assert engine.stats.evicted > 0


def test_preempted_while_one_calls_and_is_called(make_engine: Callable[..., Engine], oracle: Oracle) -> None:
    """Short prompts that are admitted together and have no room to grow together."""
    engine = make_engine(cache_tokens=64)
    callees = [callee(answer={"max_tokens": 8}), callee("plain", PAD)]
    long = caller(6, ONE, 6, PAD, 6, callees=callees, max_tokens=26)
    many = [replace(long, request=replace(long.request, runs=[Run((index, 7, 9))])) for index in range(4)]
    for one, exchange in zip(many, together(engine, *many), strict=True):
        assert_enacted(oracle, one, exchange)
    assert engine.stats.preempted > 0


def test_tasks(engine: Engine) -> None:
    """The same for asyncio; a handler may be waited for, a task cancelled, others use the engine."""

    async def slowly(call: Called) -> Return:
        await asyncio.sleep(0.001)
        return "keep"

    many = [caller(place, ONE, 2, seed=place) for place in range(5)]
    expected = together(engine, *many)
    heard: list[Delta | Called] = []

    async def everything() -> list[Any]:
        async with AsyncEngine(engine) as served:
            endless = caller(1, ONE, callees=[callee(answer={"max_tokens": 200})])
            leaving = asyncio.create_task(complete(served, endless))
            tasks = [asyncio.create_task(complete(served, replace(one, handler=slowly), heard.append)) for one in many]
            plain = await served.complete(Request([Run(CONTEXT)], max_tokens=3))
            leaving.cancel()
            with pytest.raises(CallLimitError):
                await complete(served, caller(1, ONE, ONE, budget=1))
            with pytest.raises(RequestError):
                await complete(served, caller(1, budget=0))
            return [plain, *await asyncio.gather(*tasks)]

    plain, *exchanges = asyncio.run(everything())
    assert plain.finish == "length"
    for exchange, right in zip(exchanges, expected, strict=True):
        assert exchange.completion.tokens == right.completion.tokens
        assert [call.name for call in exchange.calls] == ["one"]
    assert any(isinstance(one, Called) for one in heard)
    engine.check()
    assert engine.inspect().held == 0


SUSPENDED = Suspended("one", ONE, (), ONE, b"k" * 16, ONE[0])

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("budget must be a whole number of at least 1, not 0", {"budget": 0}),
    ("budget must be a whole number of at least 1, not True", {"budget": True}),
    ("depth must be a whole number of at least 1, not 1.5", {"depth": 1.5}),
    ("callee 'one': depth must be a whole number of at least 1, not 0", {"callees": [callee(depth=0)]}),
    ("a handler must be callable", {"handler": "keep"}),
    ("the caller may invoke an unknown 'won' .did you mean 'one'", {"invokes": ["won"]}),
    ("'one' may invoke an unknown 'two'", {"callees": [callee(invokes=["two"])]}),
    ("callee 'one': .* unknown adapter 'own'", {"callees": [callee(adapter="own")]}),
    ("callee 'one': max_tokens must be between", {"callees": [callee(answer={"max_tokens": 0})]}),
    ("callee 'one': active_at must be from 0 to 3, not 4", {"callees": [callee(active_at=4)]}),
    ("callee 'one': its answer must have no runs", {"callees": [callee(answer={"runs": [Run((1,))]})]}),
    ("callee 'one': its triggers are those", {"callees": [callee(answer={"triggers": [Trigger("a", (1,))]})]}),
    ("the caller's request: two triggers are named 'one'", {"callees": [callee(), callee()]}),
    ("callee 'one': it resumes another", {"callees": [callee(answer={"resumes": SUSPENDED})]}),
    ("the caller's request: it resumes another", {"resumes": SUSPENDED}),
    ("callees must be Callee, not str", {"callees": ["one"]}),
    ("the caller's request: top_p must be between", {"top_p": 2.0}),
    ("trigger 'one' has token id 999", {"callees": [callee("one", (999,))]}),
]


@pytest.mark.parametrize(("message", "fields"), WRONG)
def test_what_is_wrong_is_told_before_anything_runs(engine: Engine, message: str, fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=message):
        Switchboard(engine).submit(caller(1, **fields))
    assert not engine.busy


@pytest.mark.parametrize("back", ["keep", "drop"])
def test_a_text_calls(engine: Engine, back: Return) -> None:
    """What was written is kept, the adapter's invocation is another one."""
    asked = replace(callee(), trigger=TextTrigger("one", "xyz?"), invocation=ONE)
    exchange = together(engine, caller("ab", "xyz?", 3, callees=[asked], handler=always(back)))[0]
    answer, own = exchange.calls[0].answer, exchange.completion
    assert answer is not None
    prompt = Request([Run((*CONTEXT, *own.tokens[:2])), Run(ONE, "one")], max_tokens=3, ignore_eos=True)
    assert engine.generate([prompt])[0].tokens == answer.tokens
    kept = (*LETTERS.encode("xyz?").ids, *answer.tokens) if back == "keep" else ()
    masked = LETTERS.encode("x").ids if back == "drop" else ()
    after = Request([Run((*CONTEXT, *own.tokens[:2], *kept))], max_tokens=1, masked_tokens=masked)
    assert engine.generate([after])[0].tokens[0] == own.tokens[2]


def test_hints_for_eviction() -> None:
    """Of what a caller leaves, until it goes on; of the branch of the one it calls, that nobody does."""
    stack = CallStack(caller(2, ONE))
    assert stack.request is not None
    assert stack.request.next_use == SOON
    suspended = Suspended("one", ONE, (1, 2), (1, 2, *ONE), b"k" * 16, ONE[0])
    stack.receive(Completion((1, 2), "", "invoked", suspended=suspended))
    assert stack.request is not None
    assert stack.request.next_use == ((len(CONTEXT) + 2, SOON), (None, 0))


def test_the_python_of_the_readme_runs(make_engine: Callable[..., Engine], adapters: dict[str, Path]) -> None:
    engine, readme = make_engine(), Path(alora_runtime.__file__).parent.parent / "README.md"
    engine.add_adapter("certainty", adapters["one"])
    word = engine.generate([Request([Run(CONTEXT)], max_tokens=6)])[0].tokens[4:6]
    names: dict[str, Any] = {"engine": engine, "prompt": CONTEXT, "invocation": word, "yes": (65,), "no": (66, 67)}
    [shown] = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(shown, "README.md", "exec"), names)
    assert names["exchange"].calls[0].name == "certainty"


@pytest.mark.parametrize("back", ["keep", "drop"])
@pytest.mark.parametrize("word", [PAD, ONE])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_grammar_that_knows_nothing_of_calls(engine: Engine, back: Return, word: tuple[int, ...], at: int) -> None:
    """Its answer is whole and valid, and the call stands wherever the grammar leaves a choice."""
    grammar = Constraint.regex("[a-c]{3}-(x|y)+")
    asked = callee("one", word)
    # The script says where the model wants to call; everything else is chosen among what the grammar allows.
    wanted = Wanted(Interruptible(grammar, (word,)), {at + index: token for index, token in enumerate(word)})
    one = caller(constraint=wanted, callees=[asked], handler=always(back), max_tokens=12, ignore_eos=False)
    exchange = together(engine, one)[0]
    assert [(call.name, call.back) for call in exchange.calls] == [("one", back)]
    assert exchange.completion.error is None
    assert re.fullmatch("[a-c]{3}-[xy]*", exchange.completion.text)


@dataclass(frozen=True)
class Wanted:
    """A constraint, and tokens that are wanted at some places where it allows them."""

    inner: Interruptible
    places: dict[int, int]

    def matcher(self, vocabulary: Any) -> Any:
        matcher, places = self.inner.matcher(vocabulary), self.places

        class Narrowed:
            written = 0
            forced = staticmethod(list)
            done = property(lambda _: matcher.done)
            accepting = property(lambda _: matcher.accepting)

            def mask(self) -> bytes:
                allowed = int.from_bytes(matcher.mask(), "little")
                wanted = places.get(self.written)
                letters = (1 << 256) - 1  # no other call
                return (allowed & (letters if wanted is None else 1 << wanted)).to_bytes(40, "little")

            def accept(self, token: int) -> None:
                matcher.accept(token)
                self.written += 1

        return Narrowed()


def test_an_invocation_that_begins_like_another_inside_a_grammar() -> None:
    class Inner:
        accepted: list[int]
        accepting = done = False

        def matcher(self, _: Any) -> Any:
            self.accepted = []
            return self

        def forced(self) -> list[int]:
            return [65]

        def mask(self) -> bytes:
            return b"\x04"

        def accept(self, token: int) -> None:
            self.accepted.append(token)

    inner = Inner()
    matcher = Interruptible(inner, ((9,), (9, 10), (12, 9))).matcher(None)
    assert matcher.mask() == b"\x04\x12"
    matcher.accept(9)
    assert matcher.mask() == b"\x04\x16"  # the longer one, another one, or the answer
    assert matcher.forced() == [65]
    matcher.accept(10)
    matcher.accept(12)
    assert matcher.mask() == b"\x00\x02"
    assert (matcher.forced(), matcher.done, matcher.accepting) == ([], False, False)
    for token in (9, 9, 2, 9, 9, 2):
        matcher.accept(token)
    assert inner.accepted == [2, 2]

"""Wrong types in every field, a second thread, a listener that calls back, a fork: each is told so, and nothing else
suffers."""

from __future__ import annotations

import multiprocessing
import threading
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_runtime import Constraint, Delta, Engine, Request, Run, Suspended, TextTrigger, Trigger
from alora_runtime.errors import BusyError, EngineError, RequestError
from alora_runtime.requests import KEY_BYTES

CONTEXT = tuple(7 * index % 256 for index in range(30))
GOOD = Request([Run(CONTEXT)], max_tokens=4, ignore_eos=True)
SUSPENDED = Suspended("a", (2,), (1,), (1, 2), b"k" * KEY_BYTES, 2)
TWO = Trigger("a", (1, 2))


class Unwritten:
    """Raises whatever it is asked."""

    def __index__(self) -> int:
        raise ZeroDivisionError

    __float__ = __iter__ = __repr__ = __index__  # type: ignore[assignment]


class Unmade:
    """A constraint that does not work."""

    def matcher(self, vocabulary: object) -> None:
        raise ZeroDivisionError


HUGE = 10**5000
"""More digits than Python writes."""

ODD: list[Any] = [Unwritten(), HUGE, -HUGE, np.bool_(True), torch.tensor(True), torch.empty((), device="meta")]

WRONG: dict[str, list[Any]] = {
    "runs": [[Run((1.5,))], [Run("ab")], [3], ["ab"], [Run((True,))], [Run((1,), 7)]],  # type: ignore[arg-type, list-item]
    "max_tokens": [8.0, 2.5, "8", None, True, float("nan"), [3], np.float32(2), torch.tensor(2.5), -1],
    "temperature": ["1", None, [1.0], float("nan"), float("inf"), 10**400, 1j, True],
    "top_p": ["1", None, float("nan"), 2],
    "top_k": [10**400, 1.5, "3", None, True, -1],
    "min_p": ["0", None, 1.5],
    "repetition_penalty": ["1", None, 0, float("inf")],
    "seed": [1.5, "3", None],
    "logprobs": [1.0, "2", None, -1],
    "stop_tokens": [(1.5,), ("a",), (-1,), (10**9,), (None,)],
    "choices": [((1.5,),), ("ab",), ((None,),), ((10**9,),)],
    "constraint": ["[a-c]", 3, object()],
    "stop_strings": [(3,), (b"a",), ("",), (None,)],
    "timeout": [10**400, "1", float("nan"), -1.0, [1]],
    "next_use": [1.5, "1", [(3.5, 1)], [(3, 1.5)], [3], [(1, 2, 3)], [(None, "a")], -1, object()],
    "pin": [[1], 3, {}, ("a",)],
    "ignore_eos": [torch.tensor([1, 2]), np.array([1, 2])],
    "triggers": [
        *([one] for one in (3, "ab", None, (1, 2), Run((1,)))),
        *([Trigger(name, (1,))] for name in (3, "", None, b"a")),  # type: ignore[arg-type]
        *([Trigger("a", tokens)] for tokens in ((), (1.5,), ("a",), (None,), (-1,), (10**9,))),  # type: ignore[arg-type]
        *([TextTrigger("a", text)] for text in ("", 3, None, b"a", ("a",))),  # type: ignore[arg-type]
        [Trigger("a", (1,)), Trigger("a", (2,))],
        [Trigger("a", (1, 2)), Trigger("b", [1, 2])],
        [TextTrigger("a", "x"), TextTrigger("b", "x")],
    ],
    "masked_tokens": [(1.5,), ("a",), (-1,), (10**9,), (None,)],
    "resumes": [
        3,
        "ab",
        ((1,), (1,)),
        *(replace(SUSPENDED, key=key) for key in (None, "k" * KEY_BYTES, b"k")),  # type: ignore[arg-type]
        *(replace(SUSPENDED, written=tokens) for tokens in ((1.5,), (-1,), (1, 2, 3, 4))),  # type: ignore[arg-type]
        *(replace(SUSPENDED, reply=tokens) for tokens in ((1.5,), ("a",), (10**9,))),  # type: ignore[arg-type]
        *(replace(SUSPENDED, first=token) for token in (None, 1.5, "a", -1, True, (1,))),  # type: ignore[arg-type]
        replace(SUSPENDED, dropped=torch.tensor([1, 2])),  # type: ignore[arg-type]
    ],
}

TOGETHER: list[tuple[str, dict[str, Any]]] = [
    ("max_tokens is 4, and the answer", {"resumes": replace(SUSPENDED, written=(1, 2, 3, 4))}),
    ("leave one of them out", {"choices": [(1,)], "triggers": [Trigger("a", (1,))]}),
    ("leave one of them out", {"choices": [(1,)], "resumes": SUSPENDED}),
    ("choice 1 has token id 3", {"choices": [(1,), (2, 3)], "masked_tokens": (3,)}),
    ("trigger 'a' has token id 2, which is in masked_tokens", {"triggers": [TWO], "masked_tokens": (2,)}),
    ("trigger 'a' goes on after token id 1", {"triggers": [TWO], "stop_tokens": (1,)}),
    ("two triggers are named 'a'", {"triggers": [TWO, Trigger("a", (5,))]}),
    ("triggers 'a' and 'b' are the same", {"triggers": [TWO, Trigger("b", (1, 2))]}),
]


for field in ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"):
    WRONG[field] += ODD
for field in ("stop_tokens", "masked_tokens"):
    WRONG[field] += [(one,) for one in ODD]
WRONG["runs"] += [[Run((one,))] for one in ODD] + [[Run((1,), one)] for one in ODD]
WRONG["choices"] += [((one,),) for one in ODD]
WRONG["logprobs"] += [one for one in ODD if one is not HUGE]
WRONG["constraint"] += [Unmade(), Constraint]


@pytest.fixture(scope="module")
def shared(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine(cache_tokens=400)


def test_every_field_is_tried() -> None:
    assert WRONG.keys() == {field.name for field in fields(Request)}


@pytest.mark.parametrize("field", WRONG)
def test_wrong_types_are_refused_at_once(shared: Engine, field: str) -> None:
    neighbour = shared.submit(GOOD)
    for value in WRONG[field]:
        with pytest.raises(RequestError):
            shared.submit(replace(GOOD, **{field: value}))
    assert list(dict(shared.generate([GOOD])[0].__dict__)["tokens"])
    given = dict(shared.step())
    assert given[neighbour].tokens == shared.generate([GOOD])[0].tokens
    shared.check()


def test_what_suits_nothing_else_is_refused(shared: Engine) -> None:
    for message, together in TOGETHER:
        with pytest.raises(RequestError, match=message):
            shared.submit(replace(GOOD, **together))
    assert not shared.busy


@pytest.mark.parametrize("value", [3, "ab", None, object(), Unwritten(), torch.empty(3, device="meta")])
def test_what_is_no_list_is_refused_where_it_is_written(value: object) -> None:
    for make in (Run, Request, partial(Trigger, "a")):
        if value != "ab":
            with pytest.raises(RequestError, match="must be a list"):
                make(value)  # type: ignore[operator]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.lists(st.one_of(st.integers(-5, 300), st.floats(), st.text(max_size=2), st.none()), max_size=3),
    st.dictionaries(st.integers(), st.integers(), max_size=2),
    st.sampled_from([np.int64(2), np.float64(0.5), torch.tensor(2), torch.tensor([1, 2]), object(), 10**400]),
)


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_a_field_holds_the_engine_lives(shared: Engine, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([field.name for field in fields(Request)]), max_size=3, unique=True))
    neighbour = shared.submit(GOOD)
    try:
        request = replace(GOOD, **{name: data.draw(JUNK) for name in names})
        mine = shared.submit(request)
    except EngineError:
        mine = None
    given: dict[int, Any] = {}
    for _ in range(300):
        given |= shared.step()
    assert neighbour in given
    assert mine is None or mine in given
    assert not shared.busy
    shared.check()
    for name in list(shared.inspect().pins):
        shared.release(name)


def test_numbers_of_numpy_and_torch_are_welcome(shared: Engine) -> None:
    expected = shared.generate([GOOD])[0]
    for whole, real in ((np.int64, np.float32), (torch.tensor, torch.tensor), (np.uint8, np.float64)):
        runs = [Run(np.array(CONTEXT)), Run(torch.tensor([], dtype=torch.long))]
        request = replace(GOOD, runs=runs, max_tokens=whole(4), temperature=real(0.0), top_k=whole(3), seed=whole(1))
        assert shared.generate([request])[0] == expected
    assert shared.generate([replace(GOOD, stop_tokens=np.array([5]), timeout=np.float64(9))])[0].tokens


def test_a_second_thread_is_told_at_once(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    inside, go_on, told = threading.Event(), threading.Event(), []

    def listener(_: Delta) -> None:
        inside.set()
        go_on.wait(10)

    ticket = engine.submit(GOOD, listener)
    thread = threading.Thread(target=lambda: [engine.step() for _ in range(3)])
    thread.start()
    inside.wait(10)
    for call in (
        lambda: engine.submit(GOOD),
        engine.step,
        lambda: engine.generate([GOOD]),
        lambda: engine.cancel(ticket),
        engine.forget,
        lambda: engine.release("a"),
        engine.check,
    ):
        with pytest.raises(BusyError, match="another thread"):
            call()
        told.append(call)
    go_on.set()
    thread.join()
    assert len(told) == 7
    assert dict(engine.step())[ticket].tokens == make_engine().generate([GOOD])[0].tokens
    engine.check()


def test_three_threads_without_a_lock(make_engine: Callable[..., Engine]) -> None:
    """Every call works or says that it can't; every answer is right."""
    engine = make_engine()
    expected = make_engine().generate([GOOD])[0].tokens
    wrong: list[object] = []

    def work() -> None:
        for _ in range(30):
            try:
                answers = engine.generate([GOOD, GOOD])
                wrong.extend(answer for answer in answers if answer.tokens != expected)
            except BusyError:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not engine.busy
    engine.check()


def test_a_listener_may_submit_and_cancel_and_nothing_else(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    more: list[int] = []
    refused: list[BusyError] = []

    def listener(delta: Delta) -> None:
        if not more:
            more.append(engine.submit(GOOD))
            more.append(engine.submit(GOOD))
            engine.cancel(more[1])
        for call in (engine.step, engine.forget, engine.check, lambda: engine.generate([GOOD])):
            try:
                call()
            except BusyError as error:
                refused.append(error)

    ticket = engine.submit(GOOD, listener)
    given: dict[int, Any] = {}
    while engine.busy:
        given |= engine.step()
    assert [given[one].finish for one in (ticket, *more)] == ["length", "length", "cancelled"]
    assert given[ticket].tokens == given[more[0]].tokens
    assert len(refused) == 4 * 4
    engine.check()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_what_a_listener_raises_ends_its_request(make_engine: Callable[..., Engine], kind: type[BaseException]) -> None:
    engine = make_engine()
    expected = make_engine().generate([GOOD])[0].tokens

    def listener(_: Delta) -> None:
        raise kind("no")

    loud, quiet = engine.submit(GOOD, listener), engine.submit(GOOD)
    given: dict[int, Any] = {}
    raised = 0
    while engine.busy:
        try:
            given |= engine.step()
        except kind:
            raised += 1
        engine.check()
    assert given[loud].finish == "error"
    assert isinstance(given[loud].error, kind)
    assert given[quiet].tokens == expected
    assert bool(raised) == (not issubclass(kind, Exception))


def _in_a_fork(engine: Engine, answers: Any) -> None:
    try:
        engine.generate([GOOD])
    except BusyError as error:
        answers.put(str(error))


def test_a_fork_is_told_at_once(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    engine.generate([GOOD])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_in_a_fork, args=(engine, answers))
    process.start()
    assert "is a fork of it" in answers.get(timeout=60)
    process.join(60)


def _load_in_a_fork(base: Path, threads: int, told: Any) -> None:
    torch.set_num_threads(threads)
    try:
        engine = Engine.load(base, cache_tokens=100)
        told.put(len(engine.generate([GOOD])[0].tokens))
    except BaseException as error:
        told.put(str(error))


def test_a_fork_that_loads_a_model_is_told_at_once(make_engine: Callable[..., Engine], base: Path) -> None:
    make_engine().generate([GOOD])
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    for threads in (2, 1):
        process = context.Process(target=_load_in_a_fork, args=(base, threads, told))
        process.start()
        answer = told.get(timeout=60)
        process.join()
        assert answer == 4 if threads == 1 else "start processes by spawn" in answer


ALL = b"\xff" * 64


class Own:
    """A constraint and its matcher, which allows everything but for what it is told to give or to raise."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def matcher(self, vocabulary: object) -> Own:
        return self

    def forced(self) -> Any:
        return self._give("forced", [])

    def mask(self) -> Any:
        return self._give("mask", ALL)

    def accept(self, token: int) -> None:
        self._give("accept", None)

    @property
    def accepting(self) -> Any:
        return self._give("accepting", True)

    @property
    def done(self) -> Any:
        return self._give("done", False)

    def _give(self, name: str, usual: object) -> object:
        given = self.given.get(name, usual)
        if isinstance(given, BaseException):
            raise given
        return given


@pytest.mark.parametrize(
    "given",
    [
        *({"forced": tokens} for tokens in ([10**9], [-1], ["a"], None, [1.5], [None], [HUGE])),
        *({"mask": mask} for mask in (b"", b"\0", None, "a", [1], torch.ones(3))),
        *({name: np.array([1, 2])} for name in ("accepting", "done")),
    ],
)
def test_what_a_constraint_of_ones_own_gives_costs_only_its_request(shared: Engine, given: dict[str, Any]) -> None:
    neighbour, mine = shared.submit(GOOD), shared.submit(replace(GOOD, constraint=Own(**given)))
    got: dict[int, Any] = {}
    while shared.busy:
        got |= shared.step()
    assert isinstance(got[mine].error, RequestError), given
    assert got[neighbour].tokens == shared.generate([GOOD])[0].tokens
    shared.check()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, CancelledError, GeneratorExit, ValueError])
@pytest.mark.parametrize("where", ["forced", "mask", "accept", "accepting", "done"])
def test_what_a_constraint_of_ones_own_raises_ends_its_request(
    shared: Engine, where: str, kind: type[BaseException]
) -> None:
    neighbour, mine = shared.submit(GOOD), shared.submit(replace(GOOD, constraint=Own(**{where: kind()})))
    got: dict[int, Any] = {}
    raised = 0
    while shared.busy and raised < 3:
        try:
            got |= shared.step()
        except kind:
            raised += 1
    assert raised == (not issubclass(kind, Exception))
    assert type(got[mine].error) is kind
    assert got[neighbour].tokens == shared.generate([GOOD])[0].tokens
    shared.check()


def test_what_is_no_ticket_no_name_and_no_list(shared: Engine) -> None:
    for value in (None, "a", [], {}, 1.5, Unwritten(), True):
        with pytest.raises(RequestError, match="ticket"):
            shared.cancel(value)  # type: ignore[arg-type]
    for call in (shared.release, shared.generate, shared.remove_adapter, shared.kv):
        for odd in (3, [[]], Unwritten(), HUGE):
            with pytest.raises(EngineError):
                call(odd)  # type: ignore[operator]
    assert not shared.busy


def test_a_constraint_of_ones_own_may_not_call_back(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()

    class Calling(Constraint):
        def matcher(self, vocabulary: Any) -> Any:
            engine.submit(GOOD)
            return super().matcher(vocabulary)

    with pytest.raises(BusyError, match="may only submit and cancel"):
        engine.submit(replace(GOOD, constraint=Calling("regex", "a")))
    assert not engine.busy

"""What such engines live by: the same answers alone, in company and on a cache; small arenas; faults at every step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from alora_runtime import Constraint, Delta, Engine, Request, Run
from alora_runtime.adapters.routing import Routing
from alora_runtime.errors import CapacityError
from tests.runtime.conftest import INVOCATION

CONTEXT = tuple(13 * index % 256 for index in range(60))
KINDS = [
    Request([Run(CONTEXT)], max_tokens=12, ignore_eos=True),
    Request([Run(CONTEXT), Run(INVOCATION, "one")], max_tokens=12, temperature=0.8, seed=3, ignore_eos=True),
    Request([Run(CONTEXT[:30]), Run(INVOCATION, "wide")], choices=((1, 2, 3), (1, 7), (8,))),
    Request([Run(CONTEXT, "plain")], max_tokens=20, constraint=Constraint.regex("the (cat|dog) is [0-9]{2}!")),
    Request([Run(CONTEXT[:7])], max_tokens=9, stop_strings=("a", "7"), repetition_penalty=1.3, ignore_eos=True),
]


def fillers() -> Iterator[Request]:
    pick = random.Random(0)
    while True:
        prompt = [
            Run(CONTEXT[: pick.randrange(1, 60)]),
            Run((pick.randrange(256),), pick.choice((None, "one", "wide"))),
        ]
        yield Request(prompt, max_tokens=pick.randrange(1, 15), ignore_eos=True)


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_alone_in_company_and_on_a_prefix(make_engine: Callable[..., Engine], kind: int) -> None:
    request, others = KINDS[kind], fillers()
    alone = make_engine().generate([request])[0]
    engine = make_engine(chunk_tokens=17)
    for position in (0, 3, 7):
        company = [next(others) for _ in range(8)]
        mixed = engine.generate([*company[:position], request, *company[position:]])[position]
        assert (mixed.tokens, mixed.choice, mixed.finish) == (alone.tokens, alone.choice, alone.finish)
    assert engine.generate([request])[0].tokens == alone.tokens
    assert engine.generate([request])[0].prefilled == 0


def test_capacity_ladder(make_engine: Callable[..., Engine]) -> None:
    """Smaller and smaller arenas give the same answers, down to the largest request; below that, an error."""
    requests = [*KINDS, *(request for request, _ in zip(fillers(), range(8), strict=False))]
    expected = make_engine().generate(requests)
    needed = 79  # 60 tokens of prompt and 19 more, for the regular expression
    preempted = 0
    for slots in (1000, 300, 150, 100, needed):
        engine = make_engine(cache_tokens=slots)
        assert [answer.tokens for answer in engine.generate(requests)] == [answer.tokens for answer in expected]
        engine.check()
        preempted += engine.stats.preempted
    assert preempted
    with pytest.raises(CapacityError, match="needs 79 cache tokens, and the arena has 78"):
        make_engine(cache_tokens=needed - 1).generate(requests)


class Fault(Exception):
    """Injected."""


def test_a_thousand_flows_with_faults(make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps fail, listeners fail, requests are cancelled and time out; afterwards nothing is held, and answers that
    were given are right."""
    pick, others = random.Random(1), fillers()
    expected = {kind: make_engine().generate([request])[0].tokens for kind, request in enumerate(KINDS)}
    engine = make_engine(cache_tokens=400, chunk_tokens=64)
    rows = engine.model.rows

    def failing(batch: object) -> torch.Tensor:
        if pick.random() < 0.05:
            raise Fault
        return rows(batch)  # type: ignore[arg-type]

    def listener(_: Delta) -> None:
        if pick.random() < 0.02:
            raise Fault

    monkeypatch.setattr(engine.model, "rows", failing)
    tickets: dict[int, int | None] = {}
    finished = 0
    while finished < 1000:
        while len(tickets) < 12:
            kind = pick.randrange(len(KINDS)) if pick.random() < 0.3 else None
            request = next(others) if kind is None else KINDS[kind]
            request = replace(request, timeout=0.0) if pick.random() < 0.05 else request
            tickets[engine.submit(request, listener if pick.random() < 0.5 else None)] = kind
        if pick.random() < 0.05:
            engine.cancel(pick.choice(list(tickets)))
        with suppress(Fault):
            for ticket, completion in engine.step():
                kind = tickets.pop(ticket)
                finished += 1
                if kind is not None and completion.finish not in ("cancelled", "timeout", "error"):
                    assert completion.tokens == expected[kind]
        if pick.random() < 0.1:
            engine.check()
    for ticket in tickets:
        engine.cancel(ticket)
    with suppress(Fault):
        engine.step()
    engine.check()
    engine.forget()
    inside = engine.inspect()
    assert (inside.held, inside.stored, inside.free) == (0, 0, 400)


def test_the_table_of_adapters_itself(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts can agree while every routing is wrong."""
    seen: list[tuple[list[int], list[int]]] = []
    rows = engine.model.rows

    def noting(batch: object) -> torch.Tensor:
        seen.append((list(batch.routing.labels), batch.tokens.tolist()))  # type: ignore[attr-defined]
        return rows(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.model, "rows", noting)
    runs = [Run((1, 2)), Run((3,), "wide"), Run((4, 5)), Run((6,), "one")]
    engine.generate([Request(runs, max_tokens=2, ignore_eos=True)])
    one, wide = (engine.inspect().adapters[name] for name in ("one", "wide"))
    assert seen[0] == ([0, 0, wide, 0, 0, one], [1, 2, 3, 4, 5, 6])
    assert seen[1][0] == [one]


def test_rows_of_adapters() -> None:
    routing = Routing([0, 2, 2, 0, 1, 2])
    rows = {number: torch.arange(6)[own].tolist() for number, own in routing.adapters}
    assert rows == {1: [4], 2: [1, 2, 5]}
    assert routing.everywhere is None
    assert Routing([3, 3]).everywhere == 3
    others = routing.others(((1, 1), (2, 2)))
    assert others.tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("rows", [3, 200])
def test_adapters_in_small_and_large_batches(make_engine: Callable[..., Engine], rows: int) -> None:
    """Joined and masked, or each by its own rows: the same numbers as the plain way."""
    prompts = [
        [Run(range(index, index + rows // 3)), Run(INVOCATION, name)] for index, name in enumerate(("one", "wide"))
    ]
    requests = [Request(prompt, max_tokens=1, logprobs=260) for prompt in prompts]
    fast, plain = (make_engine(attention=kind).generate(requests) for kind in ("fast", "reference"))
    for left, right in zip(fast, plain, strict=True):
        assert left.logprobs[0] == pytest.approx(right.logprobs[0], abs=1e-4)

"""What is retained is evicted last, and keeps nobody out. Integers only, and once on the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_runtime import Engine, Request, Run
from alora_runtime.errors import RequestError
from alora_runtime.schedule.sequence import Live
from tests.runtime.test_counters import END, RUNS, A, B, Machine, Runs, merged
from tests.runtime.test_eviction import found, machine, run, serve


def keep(machine: Machine, runs: Runs) -> Live:
    """Serve a request, and retain what it leaves."""
    live = machine.submit(runs)
    live.retain = True
    run(machine)
    return live


def test_it_goes_after_what_is_planned_to_be_used_next() -> None:
    engine = machine(300)
    keep(engine, [(0, A)])
    serve(engine, [(1, A)], [(END, 1)])
    serve(engine, [(2, B)])
    tree = engine.scheduler.tree
    tree.make_room(200)
    assert (found(engine, [(0, A)]), tree.stored, tree.evicted_retained) == (100, 100, 0)


def test_it_keeps_nobody_out_and_what_goes_of_it_is_counted() -> None:
    engine = machine(150)
    live = keep(engine, [(0, A)])
    serve(engine, [(1, [*A, *B])])
    assert engine.scheduler.tree.evicted_retained == 80
    engine.scheduler.retention.shorten(live.ticket, 15)
    engine.scheduler.check()
    serve(engine, [(2, [*A, *B, *B[:20]])])
    engine.scheduler.retention.shorten(live.ticket, 10)  # nothing is left of it
    engine.scheduler.check()
    assert (engine.scheduler.tree.evicted_retained, engine.scheduler.retention.ends) == (95, {})


def test_its_end_goes_when_only_a_beginning_is_needed() -> None:
    """And a branch, where another request's is still needed as a whole."""
    engine = machine(400)
    first = keep(engine, [(0, [*A, *range(500, 530)])])
    second = keep(engine, [(0, [*A, *range(600, 640)])])
    tree = engine.scheduler.tree
    engine.scheduler.retention.shorten(first.ticket, 100)
    serve(engine, [(1, B)], [(END, 1)])
    tree.make_room(tree.pool.total - 140)
    engine.scheduler.check()
    assert (tree.stored, found(engine, [(0, [*A, *range(600, 640)])])) == (140, 140)
    engine.scheduler.retention.shorten(second.ticket, 0)
    serve(engine, [(1, B)], [(END, 1)])
    tree.make_room(tree.pool.total - 100)
    engine.scheduler.check()
    assert (found(engine, [(0, A)]), tree.evicted_retained) == (100, 0)


@given(st.data(), st.integers(30, 60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_retained_or_not_every_request_is_served(data: st.DataObject, slots: int, reuse: bool) -> None:
    """Whatever is retained, shortened and forgotten when; and nothing that is retained goes as long as it all fits."""
    engine = Machine(slots, 4, reuse)
    retained: list[Live] = []
    actions = st.sampled_from(["submit", "retain", "step", "step", "step", "shorten", "clear"])
    for action in data.draw(st.lists(actions, max_size=40)):
        if action in ("submit", "retain"):
            live = engine.submit(merged(data.draw(RUNS)), data.draw(st.integers(1, 12)))
            live.retain = action == "retain"
            retained += [live] * live.retain
        elif action == "step":
            engine.step()
        elif action == "shorten" and retained:
            live = data.draw(st.sampled_from(retained))
            engine.scheduler.retention.shorten(live.ticket, data.draw(st.integers(0, 20)))
        elif action == "clear":
            engine.scheduler.retention.clear()
        engine.scheduler.check()
    run(engine)
    engine.scheduler.check()
    tree = engine.scheduler.tree
    fitting = sum(end.end for end in engine.scheduler.retention.ends.values())
    before = tree.evicted_retained
    tree.make_room(max(0, slots - fitting))
    assert tree.evicted_retained == before or fitting > slots


def test_the_engine_retains(make_engine: Callable[..., Engine]) -> None:
    """What it retained costs nothing again until it is let go, or forgotten; a request that was cancelled leaves
    nothing to retain."""
    engine = make_engine(cache_tokens=128)
    context = Request([Run(range(60))], max_tokens=1)

    def served(request: Request, retain: bool) -> int:
        ticket = engine.submit(request, retain=retain)
        while engine.busy:
            completion = dict(engine.step()).get(ticket)
        assert completion is not None
        return completion.prefilled

    def crowded() -> None:
        for start in range(100, 104):
            served(Request([Run(range(start, start + 40))], max_tokens=2, next_use=1), retain=False)
        engine.check()

    assert served(context, retain=True) == 60
    crowded()
    assert (served(context, retain=False), engine.stats.evicted_retained) == (0, 0)
    engine.let_go({0: 20, 77: 3})
    crowded()
    assert 20 <= served(Request([Run(range(61))], max_tokens=1), retain=False) + 20 <= 61
    engine.forget()
    engine.check()
    assert engine.inspect().stored == 0
    ticket = engine.submit(context, retain=True)
    engine.step()
    engine.cancel(ticket)
    engine.step()
    engine.check()
    assert engine.stats.evicted_retained == 0


@pytest.mark.parametrize("wrong", [{0: 1.5}, {0: -1}, {"0": 1}, {0: None}, [0], 3])
def test_what_is_no_length_is_refused(make_engine: Callable[..., Engine], wrong: Any) -> None:
    engine = make_engine(cache_tokens=64)
    ticket = engine.submit(Request([Run(range(20))], max_tokens=1), retain=True)
    while engine.busy:
        engine.step()
    with pytest.raises(RequestError):
        engine.let_go(wrong)
    with pytest.raises(RequestError, match="retain"):
        engine.submit(Request([Run(range(20))], max_tokens=1), retain=np.zeros(2))  # type: ignore[arg-type]
    engine.let_go({ticket: np.int64(5)})  # type: ignore[dict-item]
    engine.check()
    assert engine.inspect().stored == 20

"""What is evicted first, by what a plan says and what it costs to compute again; what is pinned. No torch, no model."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_runtime import Engine, Request, Run
from alora_runtime.cache.eviction import PATIENCE
from alora_runtime.cache.node import common
from alora_runtime.cache.tree import RunTree, Uses
from alora_runtime.errors import CapacityError, RequestError
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Live
from tests.runtime.test_counters import END, RUNS, A, B, C, Machine, Runs, merged
from tests.runtime.test_proof import KINDS

FLAT = 1 << 60
"""As `double`: all tokens cost alike."""


def machine(slots: int, double: int = FLAT) -> Machine:
    made = Machine(slots)
    made.scheduler = Scheduler(RunTree(slots, double=double), 1000)
    return made


def serve(machine: Machine, runs: Runs, uses: Uses = ()) -> Live:
    live = machine.submit(runs)
    live.uses = uses
    while machine.scheduler.busy:
        machine.step()
    return live


def found(machine: Machine, runs: Runs) -> int:
    """How much of a sequence is cached."""
    return machine.scheduler.tree.find([(label, tuple(tokens)) for label, tokens in runs]).end


def test_parts_of_a_sequence_have_uses_of_their_own() -> None:
    """A thread is needed again, the branch that a check ran on is not: it goes first, though it was used last."""
    engine = machine(150)
    serve(engine, [(1, B)], [(END, 9)])
    serve(engine, [(0, [*A[:70], *A[:30]])], [(70, 2), (END, 0)])  # one node until now
    engine.scheduler.tree.make_room(50)  # 20 are free
    assert (found(engine, [(1, B)]), found(engine, [(0, [*A[:70], *A[:30]])])) == (30, 70)
    engine.scheduler.tree.make_room(60)
    assert (found(engine, [(1, B)]), found(engine, [(0, A)])) == (20, 70)


def test_what_is_not_known_stays_as_it_was() -> None:
    engine = machine(150)
    serve(engine, [(0, A[:70])], [(END, 5)])
    serve(engine, [(1, B)], [(END, 3)])
    serve(engine, [(0, [*A[:70], 900])], [(70, None), (END, 0)])
    engine.scheduler.tree.make_room(60)
    assert (found(engine, [(0, A)]), found(engine, [(1, B)])) == (60, 30)


def test_of_equal_distances_the_deeper_stays() -> None:
    engine = machine(300, double=100)
    for runs in ([(0, [*A, *B])], [(1, B)]):
        serve(engine, runs, [(END, 4)])
    engine.scheduler.tree.make_room(160)
    assert (found(engine, [(0, [*A, *B])]), found(engine, [(1, B)])) == (130, 10)


@pytest.mark.parametrize(("double", "gone"), [(FLAT, 0), (10, 1)])
def test_farther_and_deeper(double: int, gone: int) -> None:
    """What is used later goes first, unless it costs so much more."""
    engine = machine(400, double)
    deep, shallow = [(0, [*A, *range(100, 180), *B])], [(1, B)]
    serve(engine, deep, [(180, 1), (END, 9)])
    serve(engine, shallow, [(END, 6)])
    engine.scheduler.tree.make_room(engine.scheduler.tree.pool.free + 30)
    assert [found(engine, runs) for runs in (deep, shallow)] == [[180, 30], [210, 0]][gone]


def test_a_wrong_plan_is_corrected() -> None:
    """What was never to be used again is used; what was to be used soon never is."""
    engine = machine(500)
    serve(engine, [(0, A)], [(END, 0)])
    serve(engine, [(1, A)], [(END, 1)])
    serve(engine, [(2, A)])
    serve(engine, [(0, A)])
    assert engine.scheduler.tree.find([(0, tuple(A))]).rank[0] == 1
    for label in range(3, 4 + PATIENCE):
        serve(engine, [(label, C)])
    for label in (2, 0):
        serve(engine, [(label, A)])
    engine.scheduler.tree.make_room(engine.scheduler.tree.pool.free + 20)
    # The second was given up when two of the short ones had come, and counts as used then.
    assert [found(engine, [(label, A)]) for label in range(3)] == [100, 100, 100]
    engine.scheduler.tree.make_room(engine.scheduler.tree.pool.free + 100)
    assert [found(engine, [(label, A)]) for label in range(3)] == [100, 0, 100]


def trace(seed: int) -> list[Runs]:
    """Requests that come back to threads of different lengths, and branch off from them."""
    pick = random.Random(seed)
    threads: list[Runs] = [[(0, range(1000 * n, 1000 * n + pick.choice((10, 40, 160))))] for n in range(8)]
    return [
        [*pick.choice(threads), (pick.randrange(1, 4), range(pick.randrange(3), pick.randrange(4, 30)))]
        for _ in range(60)
    ]


def uses(requests: list[Runs], at: int) -> Uses:
    """What a plan that knows all would say of request `at`."""
    flat = [[(label, token) for label, part in runs for token in part] for runs in requests]
    result: list[tuple[int, int]] = []
    for later, other in enumerate(flat[at + 1 :], start=1):
        end = common(flat[at], other, 0)
        if end > (result[-1][0] if result else 0):
            result.append((end, later))
    return [*result, (END, 0)]


@cache
def planned_trace(seed: int) -> list[tuple[Runs, Uses]]:
    """The requests of a trace, with what a plan says of each."""
    requests = trace(seed)
    return [(runs, uses(requests, at)) for at, runs in enumerate(requests)]


def cost(seed: int, planned: bool, double: int = FLAT, unit: int = FLAT) -> int:
    """Serve a trace in a small arena; every computed token counts 1 + depth / unit, all times unit."""
    engine, total = machine(350, double), 0
    for runs, known in planned_trace(seed):
        live = serve(engine, runs, known if planned else ())
        total += sum(unit + depth for depth in range(live.prompt - live.prefilled, live.prompt))
    return total


def test_a_plan_computes_less_again_than_the_last_use() -> None:
    """By at least a tenth over twenty traces, and on none more."""
    pairs = [(cost(seed, True) // FLAT, cost(seed, False) // FLAT) for seed in range(20)]
    assert all(planned <= unplanned for planned, unplanned in pairs)
    assert sum(planned for planned, _ in pairs) < 0.9 * sum(unplanned for _, unplanned in pairs)


def test_the_weight_of_depth_spares_cost() -> None:
    """Over twenty traces, where a token at depth 40 costs twice what the first one does."""
    weighted, flat = (sum(cost(seed, True, double, 40) for seed in range(20)) for double in (40, FLAT))
    assert weighted < 0.99 * flat


def test_next_use_is_checked(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(cache_tokens=64)
    for wrong in (-1, [(3, 1), (2, 1)], [(0, 1)], [(3, 1), (3, 2)], [(None, 1), (4, 1)], [(4, -2)]):
        with pytest.raises(RequestError, match="next_use"):
            engine.submit(Request([Run((1, 2))], max_tokens=2, next_use=wrong))  # type: ignore[arg-type]
    assert len(engine.generate([Request([Run((1, 2))], max_tokens=2, next_use=[(1, 3), (None, 0)])])[0].tokens) == 2


HINTS = st.lists(
    st.tuples(st.integers(1, 20), st.none() | st.integers(0, 30)), max_size=4, unique_by=lambda pair: pair[0]
).map(sorted)


@given(st.lists(st.tuples(RUNS, st.integers(1, 4), HINTS), min_size=1, max_size=12), st.integers(24, 60))
@settings(max_examples=200, deadline=None)
def test_hints_change_what_is_evicted_and_nothing_else(requests: list[tuple[Runs, int, Uses]], slots: int) -> None:
    """Any hints, right or wrong: in an arena that holds all, every counter is as without them; in a small one every
    request is served, with one owner for each slot after each step."""
    counters = []
    for size, hinted in ((1000, True), (1000, False), (slots, True)):
        engine = machine(size, double=7)
        lives = [engine.submit(merged(runs), count) for runs, count, _ in requests]
        for live, (_, _, known) in zip(lives, requests, strict=True):
            live.uses = known if hinted else ()
        run(engine)
        assert [len(live.generated) for live in lives] == [count for _, count, _ in requests]
        counters.append([(live.prefilled, live.counted) for live in lives])
    assert counters[0] == counters[1]


@pytest.fixture(scope="module")
def engines(make_engine: Callable[..., Engine]) -> dict[int, Engine]:
    """By their slots, from the least that the largest request needs on."""
    return {slots: make_engine(cache_tokens=slots) for slots in (79, 100, 200, 2000)}


@given(st.data(), st.sampled_from([79, 100, 200]))
@settings(max_examples=20, deadline=None)
def test_answers_owe_nothing_to_hints(engines: dict[int, Engine], data: st.DataObject, slots: int) -> None:
    engine = engines[slots]
    hints = data.draw(st.lists(HINTS, min_size=len(KINDS), max_size=len(KINDS)))
    answers = engine.generate([replace(kind, next_use=hint) for kind, hint in zip(KINDS, hints, strict=True)])
    engine.check()
    assert [answer.tokens for answer in answers] == [engines[2000].generate([kind])[0].tokens for kind in KINDS]


def pin(machine: Machine, runs: Runs, name: str, count: int = 1) -> Live:
    """Submit a request that stays."""
    live = Live(next(machine.tickets), tuple((label, tuple(part)) for label, part in runs), count - 1, pin=name)
    machine.scheduler.check_pins(live)
    machine.scheduler.add(live)
    machine.wanted[live] = count
    machine.answers = {**getattr(machine, "answers", {}), live: machine.fresh}
    return live


def run(machine: Machine) -> None:
    while machine.scheduler.busy:
        machine.step()


def test_what_is_pinned_stays_until_it_is_released() -> None:
    engine = machine(200)
    tree = engine.scheduler.tree
    live = pin(engine, [(0, A)], "context", count=4)
    run(engine)
    for label in range(1, 5):
        serve(engine, [(label, range(90))])
    assert found(engine, [(0, [*A, *live.generated[:3]])]) == 103
    tree.make_room(tree.available)
    assert (tree.stored, tree.held, engine.scheduler.pins.slots) == (103, 103, 103)
    engine.scheduler.release("context")
    engine.scheduler.check()
    assert tree.held == 0
    tree.make_room(200)
    assert tree.stored == 0


def test_a_request_that_goes_on_from_a_pin_needs_only_the_rest() -> None:
    engine = machine(120)
    pin(engine, [(0, A)], "context")
    run(engine)
    engine.scheduler.check_pins(Live(99, ((0, (*A, *B[:20])),), 0))
    with pytest.raises(CapacityError, match="needs 21 cache tokens, and the arena has 120, of which 100 are pinned"):
        engine.scheduler.check_pins(Live(99, ((0, tuple(B[:20])),), 1))
    assert serve(engine, [(0, [*A, *B[:20]])]).prefilled == 20


def test_a_pin_that_would_leave_no_room_for_an_accepted_request_is_refused() -> None:
    engine = machine(120)
    waiting = engine.submit([(1, A)], 15)
    with pytest.raises(CapacityError, match=r"this one pinned, a request that was accepted before needs 114 .* 7 are"):
        pin(engine, [(0, C[:7])], "small")
    pin(engine, [(0, C[:6])], "small")
    with pytest.raises(CapacityError, match=r"the request needs 115 .* 6 are pinned or promised"):
        engine.scheduler.check_pins(Live(99, ((1, (*A, *B[:15])),), 0))
    run(engine)
    assert waiting.prefilled == 100


def test_released_before_it_is_done() -> None:
    engine = machine(200)
    pin(engine, [(0, A)], "context", count=3)
    engine.step()
    engine.scheduler.release("context")
    run(engine)
    assert (engine.scheduler.tree.held, engine.scheduler.pins.ends) == (0, {})


@given(st.data(), st.integers(30, 60), st.sampled_from([1, 4, 100]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_pins_never_stop_a_request(data: st.DataObject, slots: int, chunk: int, keep: bool) -> None:
    """Whatever is pinned, cancelled and released when: every request that was accepted gets its answer, every slot has
    one owner after each step, and in the end nothing is held."""
    engine = Machine(slots, chunk, keep)
    accepted: list[Live] = []
    actions = st.sampled_from(["submit", "pin", "step", "step", "step", "cancel", "release", "forget"])
    for action in data.draw(st.lists(actions, max_size=40)):
        lives = [*engine.scheduler.running, *engine.scheduler.waiting]
        tree = engine.scheduler.tree
        if action in ("submit", "pin"):
            name = data.draw(st.sampled_from("ab")) if action == "pin" else None
            runs, count = merged(data.draw(RUNS)), data.draw(st.integers(1, 12))
            live = Live(next(engine.tickets), tuple((n, tuple(part)) for n, part in runs), count - 1, pin=name)
            with suppress(CapacityError):
                engine.scheduler.check_pins(live)
                engine.scheduler.add(live)
                engine.wanted[live] = count
                engine.answers = {**getattr(engine, "answers", {}), live: engine.fresh}
                accepted.append(live)
        elif action == "step":
            engine.step()
        elif action == "forget":
            tree.make_room(tree.available)
        elif action == "release":
            engine.scheduler.release(data.draw(st.sampled_from("ab")))
        elif lives:
            gone = data.draw(st.sampled_from(lives))
            gone.pin = None
            engine.scheduler.cancel(gone)
            accepted.remove(gone)
        engine.scheduler.check()
    steps = 0
    while engine.scheduler.busy:
        engine.step()
        steps += 1
        assert steps < 5000, "no request gets on"
    assert all(len(live.generated) == engine.wanted[live] for live in accepted)
    for name in "ab":
        engine.scheduler.release(name)
    engine.scheduler.check()
    assert (engine.scheduler.tree.held, engine.scheduler.pins.slots) == (0, 0)


def test_the_engine_pins(make_engine: Callable[..., Engine]) -> None:
    """What is pinned costs nothing again, whatever came between; a request that failed, timed out or was cancelled pins
    nothing."""
    engine = make_engine(cache_tokens=128)
    context = Request([Run(range(60))], max_tokens=3, ignore_eos=True, pin="context")
    first = engine.generate([context])[0]
    for start in range(5):
        engine.generate([Request([Run(range(start, start + 40))], max_tokens=2)])
    engine.forget()
    again = engine.generate([Request([Run(range(60))], max_tokens=3, ignore_eos=True)])[0]
    assert (again.tokens, again.prefilled) == (first.tokens, 0)
    with pytest.raises(CapacityError, match="70 cache tokens, and the arena has 128, of which 62 are pinned"):
        engine.submit(Request([Run(range(100, 170))], max_tokens=1))
    engine.release("context")
    engine.check()
    ticket = engine.submit(context)
    engine.step()
    engine.cancel(ticket)
    engine.submit(replace(context, timeout=0.0))
    while engine.busy:
        engine.step()
    engine.check()
    assert engine.inspect().held == 0
    engine.release("context")  # nothing is pinned under it


def test_repeats_leave_no_entries_behind() -> None:
    """Every time that a run is used it is offered again."""
    tree = RunTree(1000)
    for number in range(3000):
        node = tree.admit([(0, (number % 2, *range(50)))], 0, 0)
        assert node is not None
        tree.plan(node, 51)
        tree.commit()
        tree.expect(node, [(END, 4)], number)
        tree.order.turn(number)
        tree.release(node)
    assert tree.order.entries < 400

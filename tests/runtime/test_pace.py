"""A step takes no longer than it may, and a short request does not wait for a long one. No test looks at a clock."""

from __future__ import annotations

import pytest

from alora_runtime.cache.tree import RunTree
from alora_runtime.schedule.pace import FEW, KEPT, UNHURRIED, Pace
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Live
from tests.runtime.test_counters import Machine


def test_the_slowest_step_but_one_counts_and_the_guess_until_there_is_one() -> None:
    pace = Pace(0.3, 0.001, 1000)
    assert pace.work == pytest.approx(300)
    for seconds in (0.2, 0.1, 0.9):  # the last one was held up
        pace.note(100, seconds)
    assert pace.work == pytest.approx(150)
    for _ in range(KEPT - 3):
        pace.note(100, 0.1)
    assert pace.work == pytest.approx(150)
    pace.note(100, 0.1)  # now the first one is forgotten
    assert pace.work == pytest.approx(300)
    pace.note(100, 0.2)
    pace.note(100, 0.2)
    assert pace.work == pytest.approx(150)
    pace.note(FEW - 1, 1e-9)  # too short to say anything
    assert pace.work == pytest.approx(150)


def test_deep_tokens_cost_more() -> None:
    pace = Pace(1.0, 0.001, 1000)
    shallow, deep = pace.reach(pace.work, 0), pace.reach(pace.work, 4000)
    assert 600 < shallow < 1000
    assert pace.cost(0, shallow) <= pace.work * 1.01
    assert shallow / 6 < deep < shallow / 3
    assert pace.cost(4000, 4000 + deep) <= pace.work * 1.01
    assert pace.reach(0.0, 0) == 0
    assert UNHURRIED.reach(UNHURRIED.work, 10**6) > 10**9


def machine(work: float) -> Machine:
    made = Machine()
    made.scheduler = Scheduler(RunTree(10_000), 2048, pace=Pace(work, 1.0, 10**9))
    return made


def test_a_step_has_a_budget_of_time() -> None:
    served = machine(work=100)
    served.submit([(0, range(1000))], 1)
    steps = 0
    while served.scheduler.busy:
        before = served.rows
        served.step()
        assert served.rows - before <= 101
        steps += 1
    assert steps in (10, 11)


def test_a_short_request_overtakes_a_long_one() -> None:
    served = machine(work=100)
    long = served.submit([(0, range(3000))], 1)
    served.step()
    shorts = [served.submit([(0, range(5000 + 100 * number, 5020 + 100 * number))], 1) for number in range(2)]
    served.step()
    assert all(live.prompt_done or live.generated for live in shorts)
    assert not long.prompt_done
    steps = 0
    while served.scheduler.busy:
        served.step()
        steps += 1
    assert steps <= 29  # the long one got at least half of every step


@pytest.mark.parametrize("double", [10**9, 100])
@pytest.mark.parametrize("work", [0.01, 20.0, 40.0])
def test_so_it_does_where_the_least_that_the_long_one_computes_takes_too_long(work: float, double: int) -> None:
    """As a large model does on a busy machine: it waited until the long one was through."""
    served = Machine()
    served.scheduler = Scheduler(RunTree(10_000), 2048, pace=Pace(work, 1.0, double))
    long = served.submit([(0, range(3000))], 1)
    for _ in range(20):
        served.step()
    short = served.submit([(0, range(5000, 5050))], 1)
    for _ in range(3):
        served.step()
    assert short.generated
    assert not long.prompt_done
    while served.scheduler.busy:
        before = served.rows
        served.step()
        assert served.rows > before


def test_nobody_computes_what_an_older_one_is_about_to() -> None:
    served = machine(work=100)
    first: Live = served.submit([(0, range(900))], 1)
    second = served.submit([(0, [*range(900), 7, 8])], 1)
    third = served.submit([(0, range(400))], 1)
    while served.scheduler.busy:
        served.step()
    assert (first.prefilled, second.prefilled, third.prefilled) == (900, 2, 1)

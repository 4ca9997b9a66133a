"""Who pays for which prompt token, to the token, and what the cache holds afterwards. No torch, no model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.cache.tree import RunTree
from alora_runtime.schedule.scheduler import Scheduler
from alora_runtime.schedule.sequence import Live

Runs = Sequence[tuple[int, Sequence[int]]]
"""(adapter number, tokens)."""

Choices = Sequence[Sequence[int]]


class Machine:
    """An engine without a model: the answer to any row is the next number of a counter, from 1000 on; of choices, one
    that depends on the ticket."""

    def __init__(self, slots: int = 1000, chunk: int = 1000, keep: bool = True) -> None:
        self.scheduler = Scheduler(RunTree(slots, keep), chunk)
        self.tickets, self.fresh = itertools.count(), itertools.count(1000)
        self.wanted: dict[Live, int] = {}
        self.rows = 0

    def submit(self, runs: Runs, count: int = 1, answer: Sequence[int] | None = None, choices: Choices = ()) -> Live:
        """A request for `count` tokens: those of `answer`, else fresh ones; or for one of `choices`."""
        trie = ChoiceTrie(choices) if choices else None
        room = len(trie.tokens) if trie else count - 1
        live = Live(next(self.tickets), tuple((adapter, tuple(tokens)) for adapter, tokens in runs), room, trie)
        self.scheduler.add(live)
        self.wanted[live] = count
        self.answers = {**getattr(self, "answers", {}), live: iter(answer or self.fresh)}
        return live

    def step(self) -> None:
        """Plan, compute nothing, go on."""
        plan = self.scheduler.plan()
        self.rows += len(plan.decoding) + sum(piece.length for piece in plan.pieces)
        for live, rows in self.scheduler.commit(plan, [object() for _ in plan.keepers()]):
            if live.trie:
                assert len(rows) == 1 + len(live.trie.tokens)
                live.generated = list(live.trie.choices[live.ticket % len(live.trie.choices)])
            else:
                live.generated.append(next(self.answers[live]))
            if live.trie or len(live.generated) == self.wanted[live]:
                self.scheduler.finish(live)
        self.scheduler.check()

    def serve(self, *requests: tuple[Runs, int]) -> list[tuple[int, int]]:
        """All together; (reused, prefilled) of each."""
        lives = [self.submit(runs, count) for runs, count in requests]
        while self.scheduler.busy:
            self.step()
        assert self.scheduler.tree.held == 0
        return [(live.counted - live.prefilled, live.prefilled) for live in lives]


@pytest.fixture
def machine() -> Machine:
    return Machine()


END = 1 << 30
A, B, C = range(100), range(200, 230), range(300, 310)


def test_the_first_submitted_pays_for_a_shared_prefix(machine: Machine) -> None:
    shared = [([(0, [*A, *B])], 3), ([(0, [*A, *C])], 3), ([(0, [*A, *B, 7])], 3)]
    assert machine.serve(*shared) == [(0, 130), (100, 10), (130, 1)]
    assert machine.rows == 130 + 10 + 1 + 3 * 2  # each shared token is computed once


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_change_no_counter(chunk: int) -> None:
    requests = [([(0, [*A, *B])], 1), ([(0, [*A, *C])], 1), ([(0, A), (1, C)], 1)]
    assert Machine(chunk=chunk).serve(*requests) == [(0, 130), (100, 10), (100, 10)]


def test_the_end_of_an_earlier_prompt_costs_nothing(machine: Machine) -> None:
    prompt = ([(0, A)], 1)
    assert machine.serve(prompt, prompt) == [(0, 100), (100, 0)]
    assert machine.serve(prompt) == [(100, 0)]


def test_a_full_hit_elsewhere_costs_its_last_token_once(machine: Machine) -> None:
    machine.serve(([(0, [*A, *B])], 1))
    assert machine.serve(([(0, A)], 1), ([(0, A)], 1)) == [(99, 1), (100, 0)]
    assert machine.serve(([(0, A)], 1)) == [(100, 0)]


def test_a_full_hit_on_a_longer_sibling_in_flight(machine: Machine) -> None:
    assert machine.serve(([(0, [*A, *B])], 1), ([(0, A)], 1)) == [(0, 130), (99, 1)]


def test_the_cache_holds_all_generated_tokens_but_the_last(machine: Machine) -> None:
    live = machine.submit([(0, A)], 5)
    while machine.scheduler.busy:
        machine.step()
    grown = [*A, *live.generated]
    assert machine.serve(([(0, [*grown, 1, 2])], 1)) == [(104, 3)]
    assert machine.serve(([(0, [*grown[:102], 9])], 1)) == [(102, 1)]


def test_an_answer_is_kept_under_its_adapter(machine: Machine) -> None:
    live = machine.submit([(0, A), (1, C)], 5)
    while machine.scheduler.busy:
        machine.step()
    answer = tuple(live.generated)
    assert machine.serve(([(0, A), (1, [*C, *answer])], 1)) == [(114, 1)]
    assert machine.serve(([(0, A), (1, C), (0, answer)], 1)) == [(110, 5)]
    assert machine.serve(([(0, [*A, *C, *answer])], 1)) == [(100, 15)]


def test_adapters_share_before_the_invocation_and_never_after(machine: Machine) -> None:
    assert machine.serve(([(0, A), (1, C)], 1), ([(0, A), (2, C)], 1), ([(0, [*A, *C])], 1)) == [
        (0, 110),
        (100, 10),
        (100, 10),
    ]
    assert machine.serve(([(0, A), (1, C), (0, B)], 1), ([(1, A)], 1)) == [(110, 30), (0, 100)]


@pytest.mark.parametrize(("chunk", "steps"), [(102, 1), (101, 2), (100, 2), (51, 2), (50, 3)])
def test_a_choice_is_not_fed_and_its_beginning_stays(chunk: int, steps: int) -> None:
    """The rows after 1 and after 1 2 are computed with the last tokens of the prompt, or in the next step."""
    machine = Machine(chunk=chunk)
    machine.submit([(0, A)], choices=[(1, 4), (1, 2, 3), (5,)])
    for _ in range(steps):
        assert machine.scheduler.busy
        machine.step()
    assert not machine.scheduler.busy
    assert (machine.rows, machine.scheduler.tree.stored) == (102, 101)
    assert machine.serve(([(0, [*A, 1, 4, 9])], 1)) == [(101, 2)]


def test_without_reuse_everybody_pays() -> None:
    machine = Machine(keep=False)
    prompt = ([(0, A)], 3)
    assert machine.serve(prompt, prompt) == [(0, 100), (0, 100)]
    assert machine.scheduler.tree.stored == 0


def test_a_cancelled_payer_leaves_the_rest_to_the_next() -> None:
    machine = Machine(chunk=40)
    first, second = machine.submit([(0, [*A, *B])]), machine.submit([(0, [*A, *C])])
    machine.step()
    machine.scheduler.cancel(first)
    machine.scheduler.check()
    while machine.scheduler.busy:
        machine.step()
    assert (second.counted - second.prefilled, second.prefilled) == (40, 70)


def test_the_least_recently_used_leaf_is_evicted_from_its_end() -> None:
    machine = Machine(slots=150)
    machine.serve(([(0, A)], 1))
    machine.serve(([(1, B)], 1))
    machine.serve(([(2, B)], 1))  # ten slots short: the last ten of A go
    assert machine.scheduler.tree.evicted == 10
    assert machine.serve(([(1, B)], 1), ([(0, A)], 1)) == [(30, 0), (90, 10)]


def test_preemption_takes_the_youngest_and_counts_its_prompt_once() -> None:
    machine = Machine(slots=220)
    old, young = (machine.submit([(adapter, range(20))], 120) for adapter in (0, 1))
    while old in machine.scheduler.running or not machine.scheduler.preempted:
        machine.step()
        assert old not in machine.scheduler.waiting
    while machine.scheduler.busy:
        machine.step()
    assert [live.prefilled for live in (old, young)] == [20, 20]
    assert machine.scheduler.recomputed > 0


def test_a_failed_step_can_be_planned_again(machine: Machine) -> None:
    machine.submit([(0, A)], 3)
    for _ in range(3):
        for _ in range(2):
            machine.scheduler.abort(machine.scheduler.plan())
            machine.scheduler.check()
        machine.step()
    assert not machine.scheduler.busy
    assert machine.rows == 102


RUNS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, max_size=6)), min_size=1, max_size=3
)


CHOICES = st.lists(st.lists(st.integers(100, 102), min_size=1, max_size=3).map(tuple), max_size=4, unique=True)
"""Tokens that no prompt has; no choices in some cases."""


ROUNDS = st.lists(st.lists(st.tuples(RUNS, st.integers(1, 3), CHOICES), min_size=1, max_size=4), max_size=4)


@given(ROUNDS, st.sampled_from([1, 3, 1000]))
@settings(max_examples=300, deadline=None)
def test_counters_follow_from_the_requests_alone(rounds: list[list[tuple[Runs, int, Choices]]], chunk: int) -> None:
    """What a planner may assume: the cache is a set of prefixes, and some of them are ends of prompts."""
    machine = Machine(chunk=chunk)
    cached: set[tuple[tuple[int, int], ...]] = {()}
    ends: set[tuple[tuple[int, int], ...]] = set()
    for requests in rounds:
        expected, grown = [], []
        lives = [machine.submit(merged(runs), count, choices=choices) for runs, count, choices in requests]
        for live in lives:
            pairs = tuple((adapter, token) for adapter, tokens in live.runs for token in tokens)
            reused = max(length for length in range(len(pairs) + 1) if pairs[:length] in cached)
            reused -= reused == len(pairs) and pairs not in ends
            expected.append((reused, len(pairs) - reused))
            cached |= {pairs[:length] for length in range(len(pairs) + 1)}
            ends.add(pairs)
            grown.append((live, pairs))
        while machine.scheduler.busy:
            machine.step()
        for live, pairs in grown:
            answer = tuple((live.adapter, token) for token in live.generated[:-1])
            cached |= {pairs + answer[:length] for length in range(len(answer) + 1)}
        assert [(live.counted - live.prefilled, live.prefilled) for live in lives] == expected


@given(st.data(), st.integers(30, 80), st.sampled_from([1, 4, 100]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_nothing_leaks_whatever_happens(data: st.DataObject, slots: int, chunk: int, keep: bool) -> None:
    """Requests come, are cancelled, and steps fail, in any order; afterwards nothing is held."""
    machine = Machine(slots, chunk, keep)
    for action in data.draw(st.lists(st.sampled_from(["submit", "step", "fail", "cancel"]), max_size=30)):
        live = [*machine.scheduler.running, *machine.scheduler.waiting]
        if action == "submit":
            machine.submit(merged(data.draw(RUNS)), data.draw(st.integers(1, 12)), choices=data.draw(CHOICES))
        elif action == "step":
            machine.step()
        elif action == "fail":
            machine.scheduler.abort(machine.scheduler.plan())
        elif live:
            machine.scheduler.cancel(data.draw(st.sampled_from(live)))
        machine.scheduler.check()
    while machine.scheduler.busy:
        machine.step()
    tree = machine.scheduler.tree
    assert (tree.held, tree.pool.free + tree.stored) == (0, slots)


def merged(runs: Runs) -> Runs:
    """Neighbours under one adapter as one run, as the engine hands them over."""
    groups: list[tuple[int, list[int]]] = []
    for adapter, tokens in runs:
        if groups and groups[-1][0] == adapter:
            groups[-1][1].extend(tokens)
        else:
            groups.append((adapter, list(tokens)))
    return groups


LADDER: list[Callable[[], Machine]] = [lambda slots=slots: Machine(slots=slots, chunk=5) for slots in range(24, 60, 4)]


@pytest.mark.parametrize("make", LADDER)
def test_any_arena_that_holds_the_largest_request_serves_all(make: Callable[[], Machine]) -> None:
    machine = make()
    requests = [([(index % 3, range(index, index + 12))], 10) for index in range(8)]
    assert all(reused + prefilled == 12 for reused, prefilled in machine.serve(*requests))


def test_a_plan_decides_what_is_evicted() -> None:
    """Two contexts fit. One will be used again, one never: the older one that is needed stays, and in the end answers
    do not depend on it."""
    machine = Machine(slots=230)
    for label, next_use in ((0, 3), (1, 0)):
        machine.submit([(label, A)]).uses = [(END, next_use)]
    while machine.scheduler.busy:
        machine.step()
    assert machine.serve(([(2, A)], 1)) == [(0, 100)]
    assert machine.serve(([(0, A)], 1)) == [(100, 0)]


def test_of_several_planned_uses_the_farthest_is_evicted() -> None:
    machine = Machine(slots=330)
    for label, next_use in ((0, 5), (1, 9), (2, 7)):
        machine.submit([(label, A)]).uses = [(END, next_use)]
    while machine.scheduler.busy:
        machine.step()
    machine.serve(([(3, A)], 1))
    assert machine.serve(([(0, A)], 1)) == [(100, 0)]
    assert machine.serve(([(2, A)], 1)) == [(100, 0)]

"""Answers of several tokens: their trie is computed in the forward pass that ends their prompt, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alora_runtime import Completion, Engine, Request, Run
from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.compute import clusters
from alora_runtime.compute.batch import Batch
from alora_runtime.schedule import scheduler
from tests.runtime.checkpoints import Oracle, labelled
from tests.runtime.conftest import INVOCATION
from tests.runtime.serving import serve
from tests.runtime.test_oracle import LABELS, assert_greedy

CONTEXT = tuple(13 * index % 256 for index in range(40))
PROMPT = [Run(CONTEXT), Run(INVOCATION, "one")]
ENUM = Request(PROMPT, choices=((1, 2, 3), (1, 2, 4, 5), (1, 7), (8, 9), (8, 9, 10)))
NODES = 5
"""Of its trie: 1, 1 2, 1 2 4, 8, 8 9."""


def assert_scored(completion: Completion, oracle: Oracle, request: Request) -> None:
    """All reported log-probabilities, against a full pass over the prompt with each choice."""
    assert request.choices is not None
    assert completion.choice is not None
    prompt = labelled((run.tokens, run.adapter) for run in request.runs)
    adapter = request.runs[-1].adapter
    for index, (choice, got) in enumerate(zip(request.choices, completion.choice_logprobs, strict=True)):
        whole = [*prompt, *((token, adapter) for token in choice)]
        rows = oracle.logits(whole).log_softmax(-1)[len(prompt) - 1 : -1]
        assert got == pytest.approx(float(rows[range(len(choice)), list(choice)].sum()), abs=1e-4 * len(choice))
        if index == completion.choice and request.logprobs:
            reported = torch.tensor([[row[token] for token in range(260)] for row in completion.logprobs])
            assert (reported - rows).abs().max() < 1e-4
    assert completion.tokens == request.choices[completion.choice]
    assert (completion.finish, completion.generated, completion.forced) == ("choice", len(completion.tokens), 0)
    assert completion.reused + completion.prefilled == request.prompt_length


def test_one_forward_pass_answers(engine: Engine) -> None:
    """From an empty cache, and with the whole prompt and its last row in it."""
    assert engine.generate([ENUM])[0].prefilled == 43
    assert (engine.stats.steps, engine.stats.rows) == (1, 43 + NODES)
    assert engine.generate([replace(ENUM, logprobs=3)])[0].reused == 43
    assert (engine.stats.steps, engine.stats.rows) == (2, 43 + 2 * NODES)


def test_a_cached_prompt_without_its_row_needs_one_pass_too(engine: Engine) -> None:
    engine.generate([Request([*PROMPT, Run((1, 2), "one")], max_tokens=1)])
    assert (engine.generate([ENUM])[0].prefilled, engine.stats.steps) == (1, 2)
    assert engine.stats.rows == 45 + 1 + NODES


@pytest.mark.parametrize(("chunk", "steps"), [(48, 1), (47, 2), (43, 2), (42, 2), (24, 2), (22, 3), (4, 12), (1, 44)])
def test_it_goes_along_where_the_step_has_room(
    make_engine: Callable[..., Engine], oracle: Oracle, chunk: int, steps: int
) -> None:
    """A prompt of 43 tokens in chunks, and five nodes beside the last of them or in the step after."""
    engine = make_engine(chunk_tokens=chunk)
    assert_scored(serve(engine, [ENUM], apart=0)[0], oracle, ENUM)
    assert (engine.stats.steps, engine.stats.rows) == (steps, 48)


def test_many_in_one_pass(make_engine: Callable[..., Engine], oracle: Oracle) -> None:
    """Siblings of several adapters, samples of one prompt, and one that goes on to generate."""
    requests = [
        *replace(ENUM, temperature=2.0, seed=7).samples(3),
        *(replace(ENUM, runs=[Run(CONTEXT), Run(INVOCATION, name)], logprobs=260) for name in LABELS),
        replace(ENUM, runs=[Run(CONTEXT[:30]), Run((), "wide")], choices=((8, 8, 1), (8, 8, 2))),
    ]
    engine = make_engine()
    ticket = engine.submit(Request([Run(CONTEXT)], max_tokens=3, ignore_eos=True))
    answers = engine.generate(requests)
    assert engine.stats.steps == 1
    for request, answer in zip(requests, answers, strict=True):
        assert_scored(answer, oracle, request)
        alone = make_engine(chunk_tokens=5).generate([request])[0]
        assert (alone.choice, alone.tokens) == (answer.choice, answer.tokens)
        assert alone.choice_logprobs == pytest.approx(answer.choice_logprobs, abs=1e-4)
    while engine.busy:
        results = dict(engine.step())
    assert_greedy(oracle, labelled([(CONTEXT, None)]), results[ticket].tokens)


def test_rows_carry_the_adapter_of_the_last_run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int]] = []
    rows = engine.model.rows

    def noting(batch: Batch) -> torch.Tensor:
        parts = batch.routing.labels, batch.tokens.tolist(), batch.positions.tolist()
        seen.extend(zip(*parts, strict=True))
        return rows(batch)

    monkeypatch.setattr(engine.model, "rows", noting)
    engine.generate([Request([Run((20, 21)), Run((), "wide")], choices=((1, 2), (1, 3, 4), (5, 6)))])
    wide = engine.inspect().adapters["wide"]
    assert sorted(seen) == sorted([(0, 20, 0), (0, 21, 1), (wide, 1, 2), (wide, 3, 3), (wide, 5, 2)])


def test_a_long_prompt_stays_causal_beside_its_trie(
    engine: Engine, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one mask with the trie its rows would look at twice as much."""
    monkeypatch.setattr(clusters, "CALL", 1000)  # as little as it is to a model of some size
    causal: list[list[bool]] = []
    rows = engine.model.rows

    def noting(batch: Batch) -> torch.Tensor:
        causal.append([cluster.causal for cluster in batch.clusters])
        return rows(batch)

    monkeypatch.setattr(engine.model, "rows", noting)
    request = replace(ENUM, runs=[Run([7 * index % 256 for index in range(200)])])
    assert_scored(serve(engine, [request], apart=0)[0], oracle, request)
    assert len(causal) == 1
    assert causal[0][0]
    assert not any(causal[0][1:])


def test_of_the_trie_only_the_answer_stays(engine: Engine) -> None:
    answer = serve(engine, [ENUM], apart=0)[0].tokens
    assert engine.inspect().stored == 43 + len(answer) - 1
    assert engine.generate([Request([*PROMPT, Run((*answer, 77), "one")], max_tokens=1)])[0].prefilled == 2


def test_without_slots_for_it_the_trie_comes_one_step_later(make_engine: Callable[..., Engine], oracle: Oracle) -> None:
    """It preempts nobody in the step that ends its prompt, and whom it may in the next: with 77 to 79 slots itself."""
    long = Request([Run((9, 8, 7))], max_tokens=30, ignore_eos=True)
    preempted = {}
    for slots in (48, *range(74, 83)):
        engine = make_engine(cache_tokens=slots)
        generated, scored = serve(engine, [long], [ENUM], apart=0)
        assert_scored(scored, oracle, ENUM)
        assert_greedy(oracle, labelled([((9, 8, 7), None)]), generated.tokens)
        preempted[slots] = engine.stats.preempted > 0
    assert [slots for slots, happened in preempted.items() if happened] == [77, 78, 79]


def test_a_pass_that_fails_is_planned_again(engine: Engine, oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = engine.model.rows
    monkeypatch.setattr(engine.model, "rows", lambda batch: 1 // 0)
    tickets = [engine.submit(ENUM) for _ in range(2)]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            engine.step()
        engine.check()
    engine.cancel(tickets[0])
    engine.check()
    monkeypatch.setattr(engine.model, "rows", rows)
    results = dict(engine.step())
    engine.check()
    assert results[tickets[0]].finish == "cancelled"
    assert_scored(results[tickets[1]], oracle, ENUM)
    assert not engine.busy


TOKENS = st.integers(0, 2)
CHOICES = st.lists(st.lists(TOKENS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=6, unique=True)


@st.composite
def asked(draw: st.DrawFn) -> Request:
    """A prompt that shares some of its tokens with others, and choices that share some of theirs; now and then one that
    only generates."""
    runs = [Run(CONTEXT[: draw(st.integers(1, 40))], draw(st.sampled_from((None, None, "plain"))))]
    if draw(st.booleans()):
        runs.append(Run(draw(st.lists(TOKENS, max_size=4)), draw(st.sampled_from(LABELS))))
    if not draw(st.integers(0, 4)):
        return Request(runs, max_tokens=4, ignore_eos=True)
    return Request(runs, choices=draw(CHOICES), logprobs=draw(st.sampled_from((0, 260))))


@given(
    requests=st.lists(asked(), min_size=1, max_size=5),
    chunk=st.sampled_from([1, 6, 30, 2048]),
    slots=st.sampled_from([0, 1, 20, 2000]),
    reuse=st.booleans(),
    stagger=st.integers(0, 2),
    prefix=st.sampled_from([1, 32]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_trie_any_prompt_any_chunk(
    make_engine: Callable[..., Engine],
    oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
    requests: list[Request],
    chunk: int,
    slots: int,
    reuse: bool,
    stagger: int,
    prefix: int,
) -> None:
    """As `test_any_tree_any_chunk_any_arena`: cold, then on what that left in the cache."""
    monkeypatch.setattr(scheduler, "TAIL", 1)
    monkeypatch.setattr(clusters, "PREFIX", prefix)
    monkeypatch.setattr(clusters, "SHARED", prefix)
    fed = [len(ChoiceTrie(request.choices).tokens) if request.choices else 3 for request in requests]
    largest = max(request.prompt_length + more for request, more in zip(requests, fed, strict=True))
    engine = make_engine(cache_tokens=largest + slots, chunk_tokens=chunk, reuse=reuse)
    # Slots that no row has written are loud: letting a row see one of them would show.
    engine.inspect().arena.fill_(1e4)
    for _ in ("cold", "warm"):
        for request, completion in zip(
            requests, serve(engine, *([one] for one in requests), apart=stagger), strict=True
        ):
            if request.choices is None:
                prompt = labelled((run.tokens, run.adapter) for run in request.runs)
                logits = oracle.logits(prompt)
                assert (logits[-1].max() - logits[-1, completion.tokens[0]]) < 1e-4
            else:
                assert_scored(completion, oracle, request)
    if chunk > 1000 and slots > 1000 and all(request.choices for request in requests) and not stagger:
        assert engine.stats.steps == 2

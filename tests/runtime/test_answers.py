"""Choices, constraints, sampling, stopping, cancelling, adapters under names."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from alora_runtime import Constraint, Engine, Request, Run
from alora_runtime.answer.sampling import key_of, penalised, sample, uniform
from alora_runtime.schedule import scheduler
from tests.runtime.checkpoints import EOS, Oracle, labelled
from tests.runtime.conftest import INVOCATION

CONTEXT = Run(tuple(13 * index % 256 for index in range(40)))
PROMPT = [CONTEXT, Run(INVOCATION, "one")]


def choice_logprob(oracle: Oracle, runs: list[Run], choice: tuple[int, ...]) -> float:
    """The sum of the log-probabilities of its tokens, by one full pass."""
    sequence = labelled((run.tokens, run.adapter) for run in runs)
    whole = [*sequence, *((token, runs[-1].adapter) for token in choice)]
    rows = oracle.logits(whole).log_softmax(-1)[len(sequence) - 1 : -1]
    return float(rows[range(len(choice)), list(choice)].sum())


def test_one_token_choices_take_no_decode_step(engine: Engine, oracle: Oracle) -> None:
    choices = ((70,), (71,), (9,))
    expected = [choice_logprob(oracle, PROMPT, choice) for choice in choices]
    completion = engine.generate([Request(PROMPT, choices=choices, logprobs=2)])[0]
    assert completion.choice_logprobs == pytest.approx(expected, abs=1e-4)
    assert completion.choice == max(range(3), key=expected.__getitem__)
    assert completion.tokens == choices[completion.choice]
    assert (completion.finish, completion.generated, engine.stats.steps, engine.stats.rows) == ("choice", 1, 1, 43)
    assert completion.logprobs[0][completion.tokens[0]] == pytest.approx(max(expected), abs=1e-4)


def test_longer_choices_are_scored_together(engine: Engine, oracle: Oracle) -> None:
    choices = ((1, 2, 3), (1, 2, 4, 5), (1, 7), (8, 9), (8, 9, 10))
    expected = [choice_logprob(oracle, PROMPT, choice) for choice in choices]
    completion = engine.generate([Request(PROMPT, choices=choices, logprobs=1)])[0]
    assert completion.choice_logprobs == pytest.approx(expected, abs=1e-4)
    assert completion.tokens == choices[completion.choice]  # type: ignore[index]
    assert engine.stats.steps == 1  # the prompt and all branches at once
    assert engine.stats.rows == 43 + len([(1,), (1, 2), (1, 2, 4), (8,), (8, 9)])
    engine.check()
    longer = [*PROMPT, Run((*completion.tokens, 77), "one")]
    assert engine.generate([Request(longer, max_tokens=1)])[0].prefilled == 2


def test_choices_can_be_sampled(engine: Engine) -> None:
    request = Request(PROMPT, choices=((1, 2), (1, 3), (4,)), temperature=50.0)
    taken = Counter(
        completion.choice for completion in engine.generate([replace(request, seed=seed) for seed in range(90)])
    )
    assert set(taken) == {0, 1, 2}


@pytest.mark.parametrize("settings", [{"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.5}], ids=str)
def test_choices_are_sampled_as_tokens_are(engine: Engine, settings: dict[str, float]) -> None:
    """Of four options with shares 0.4, 0.35, 0.2 and 0.05 each of the settings leaves two."""
    row = torch.full((260,), -30.0)
    row[[3, 1, 7, 9]] = torch.tensor([0.4, 0.35, 0.2, 0.05]).log()
    engine.model.logits = lambda rows: row.expand(len(rows), -1)  # type: ignore[method-assign]
    request = Request(PROMPT, choices=[(9,), (7,), (1,), (3,)], temperature=1.0)
    free = engine.generate(request.samples(200))
    assert {completion.choice for completion in free} == {0, 1, 2, 3}
    narrow = engine.generate(replace(request, **settings).samples(200))  # type: ignore[arg-type]
    counts = Counter(completion.choice for completion in narrow)
    assert set(counts) == {2, 3}
    assert counts[3] / 200 == pytest.approx(0.4 / 0.75, abs=0.12)
    assert narrow[0].choice_logprobs == free[0].choice_logprobs


def test_choices_are_penalised_for_what_is_there(engine: Engine) -> None:
    row = torch.zeros(260)
    row[[1, 2, 3]] = torch.tensor([4.0, 3.9, 3.8])
    engine.model.logits = lambda rows: row.expand(len(rows), -1)  # type: ignore[method-assign]
    request = Request([Run((1, 50))], choices=[(1,), (2,), (3,)])
    assert [
        completion.choice for completion in engine.generate([request, replace(request, repetition_penalty=1.2)])
    ] == [0, 1]
    longer = replace(request, choices=[(2, 2), (2, 3), (1, 1)], repetition_penalty=1.2)
    assert engine.generate([longer])[0].tokens == (2, 3)  # a token that the choice itself has written counts, too


def test_a_regular_expression(engine: Engine) -> None:
    pattern = "the (cat|dog) is [0-9]{2}!"
    completion = engine.generate([Request(PROMPT, constraint=Constraint.regex(pattern), max_tokens=50, logprobs=1)])[0]
    assert re.fullmatch(pattern, completion.text)
    assert completion.finish == "stop"
    assert completion.tokens[-1] == EOS
    assert completion.forced == len("the ") + len("at") + len(" is ") + len("!") + 1
    assert completion.generated == 3
    assert [bool(row) for row in completion.logprobs].count(True) == 3
    # Forced tokens are fed together with the sampled one before them, not in steps of their own.
    assert engine.stats.steps == 1 + 3 + 1
    engine.check()
    longer = [*PROMPT, Run((*completion.tokens, 77), "one")]
    assert engine.generate([Request(longer, max_tokens=1)])[0].prefilled == 2


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_json_schema(engine: Engine, temperature: float) -> None:
    schema = {
        "type": "object",
        "properties": {"score": {"enum": ["low", "high"]}, "count": {"type": "integer", "minimum": 3, "maximum": 27}},
        "required": ["score", "count"],
        "additionalProperties": False,
    }
    request = Request(PROMPT, constraint=Constraint.json_schema(schema), max_tokens=60, temperature=temperature)
    value = json.loads(engine.generate([request])[0].text)
    assert value["score"] in ("low", "high")
    assert 3 <= value["count"] <= 27


def test_a_constraint_may_end_early_and_be_cut(engine: Engine) -> None:
    grammar = Constraint.lark("start: /[ab]{1,30}/")
    whole = engine.generate([Request(PROMPT, constraint=grammar, max_tokens=40)])[0]
    assert re.fullmatch("[ab]{1,30}", whole.text)
    cut = engine.generate([Request(PROMPT, constraint=Constraint.regex("[ab]{30}"), max_tokens=7)])[0]
    assert (cut.finish, len(cut.tokens)) == ("length", 7)
    forced = engine.generate([Request(PROMPT, constraint=Constraint.regex("abcdefgh"), max_tokens=5)])[0]
    assert (forced.finish, forced.text, forced.forced, forced.generated) == ("length", "abcde", 5, 0)
    assert engine.generate([Request([*PROMPT, Run((*forced.tokens, 1), "one")], max_tokens=1)])[0].prefilled == 2


def test_stop_tokens(engine: Engine) -> None:
    free = engine.generate([Request(PROMPT, max_tokens=12, ignore_eos=True)])[0]
    stop = free.tokens[4]
    first = free.tokens.index(stop)
    completion = engine.generate([Request(PROMPT, max_tokens=12, stop_tokens=[stop], ignore_eos=True)])[0]
    assert (completion.finish, completion.tokens) == ("stop", free.tokens[: first + 1])
    assert free.finish == "length"
    assert engine.model.text([65, 66, 256]) == engine.model.text([65, 66])


def test_a_sampled_answer_depends_on_its_seed_alone(make_engine: Callable[..., Engine]) -> None:
    request = Request(PROMPT, max_tokens=8, temperature=1.5, top_p=0.9, top_k=50, seed=7, ignore_eos=True)
    others = [replace(request, runs=[Run((index, 5))], seed=index) for index in range(6)]
    alone = make_engine().generate([request])[0].tokens
    assert make_engine(chunk_tokens=3).generate([*others, request])[-1].tokens == alone
    assert make_engine(reuse=False).generate([request, *others])[0].tokens == alone
    engine = make_engine()
    assert len({engine.generate([replace(request, seed=seed)])[0].tokens for seed in range(5)}) == 5


def test_random_numbers_are_uniform() -> None:
    """Over seeds, over prompts and over positions."""
    keys = [key_of(seed, [Run((token,))]) for seed in range(8) for token in range(5)]
    numbers = [uniform(key, position) for key in keys for position in range(50)]
    counts = Counter(int(10 * number) for number in numbers)
    assert all(140 < counts[decile] < 260 for decile in range(10))
    assert len(set(numbers)) == len(numbers)


def test_random_numbers_are_the_prompts_own() -> None:
    same = [[Run((1, 2, 3)), Run((4,), "one")], [Run((1,)), Run(()), Run((2, 3)), Run((4,), "one")]]
    other = [
        [Run((1, 2, 3, 4))],
        [Run((1, 2, 3)), Run((4,), "two")],
        [Run((1, 2, 3, 4)), Run((), "one")],
        [Run((1, 2))],
    ]
    assert len({key_of(0, runs) for runs in same}) == 1
    assert len({key_of(seed, runs) for runs in [same[0], *other] for seed in range(3)}) == 15


def test_other_prompts_and_samples_draw_other_numbers(engine: Engine) -> None:
    """Which of ten equally likely tokens is taken says what number was drawn."""
    engine.model.logits = lambda rows: torch.zeros(len(rows), 260)  # type: ignore[method-assign]
    choices = [(token,) for token in range(10)]
    prompts = [Request([Run((token,))], choices=choices, temperature=1.0) for token in range(40)]
    taken = [completion.choice for completion in engine.generate(prompts)]
    assert len(set(taken)) == 10
    assert [completion.choice for completion in engine.generate(prompts[::-1])] == taken[::-1]
    seeds = [request.seed for seed in range(50) for request in replace(prompts[0], seed=seed).samples(4)]
    assert len(set(seeds)) == 200


@pytest.mark.parametrize(
    ("settings", "warper"),
    [
        ({"top_k": 5}, TopKLogitsWarper(5)),
        ({"top_p": 0.6}, TopPLogitsWarper(0.6)),
        ({"min_p": 0.2}, MinPLogitsWarper(0.2)),
        ({}, None),
    ],
)
def test_samples_follow_the_distribution_of_transformers(settings: dict[str, float], warper: object) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0)) * 2
    warpers = LogitsProcessorList([TemperatureLogitsWarper(0.7), *([warper] if warper else [])])
    expected = warpers(torch.zeros(1, 1, dtype=torch.long), logits[None].clone())[0].softmax(-1)
    request = Request([CONTEXT], temperature=0.7, **settings)  # type: ignore[arg-type]
    numbers = (uniform(b"key", position) for position in range(3000))
    counts = Counter(sample(logits, request, number) for number in numbers)
    for token, share in enumerate(expected.tolist()):
        assert counts[token] / 3000 == pytest.approx(share, abs=0.03)
        assert share > 0 or not counts[token]


def test_repetition_penalty_is_that_of_transformers() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0))
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[3, 4, 4]]), logits[None].clone())[0]
    assert torch.equal(penalised(logits, {3, 4}, 1.7), expected)


def test_requests_join_and_leave_at_any_step(engine: Engine, oracle: Oracle) -> None:
    request = Request(PROMPT, max_tokens=10, ignore_eos=True)
    expected = oracle.greedy(labelled((run.tokens, run.adapter) for run in PROMPT), 10)
    first, results = engine.submit(request), {}
    for _ in range(3):
        results |= engine.step()
    second, third = engine.submit(request), engine.submit(replace(request, runs=[CONTEXT]))
    results |= engine.step()
    engine.cancel(third)
    engine.cancel(third)
    engine.check()
    while engine.busy:
        results |= engine.step()
        engine.check()
    assert [list(results[ticket].tokens) for ticket in (first, second)] == [expected, expected]
    assert results[third].finish == "cancelled"
    assert (results[second].reused, results[second].prefilled) == (43, 0)


def test_generate_leaves_the_answers_of_others_to_step(engine: Engine) -> None:
    ticket = engine.submit(Request([CONTEXT], max_tokens=1))
    assert len(engine.generate([Request(PROMPT, max_tokens=4, ignore_eos=True)])[0].tokens) == 4
    assert [finished for finished, _ in engine.step()] == [ticket]
    assert not engine.busy


@pytest.mark.parametrize("failures", range(1, 6))
def test_a_failed_step_harms_nobody(engine: Engine, oracle: Oracle, failures: int) -> None:
    """Faults in every n-th forward pass."""
    expected = oracle.greedy(labelled((run.tokens, run.adapter) for run in PROMPT), 6)
    rows, calls = engine.model.rows, itertools.count(1)

    def failing(batch: object) -> torch.Tensor:
        if next(calls) % (failures + 1) == 0:
            raise MemoryError
        return rows(batch)  # type: ignore[arg-type]

    engine.model.rows = failing  # type: ignore[assignment, method-assign]
    request = Request(PROMPT, max_tokens=6, ignore_eos=True)
    results, tickets = {}, [engine.submit(request), engine.submit(Request(PROMPT, choices=((1, 2), (1, 3))))]
    while engine.busy:
        with contextlib.suppress(MemoryError):
            results |= engine.step()
        engine.check()
    assert list(results[tickets[0]].tokens) == expected
    assert results[tickets[1]].finish == "choice"


def test_adapters_are_known_by_content(engine: Engine, adapters: dict[str, Path], tmp_path: Path) -> None:
    request = Request([CONTEXT, Run(INVOCATION, "copy")], max_tokens=4, ignore_eos=True)
    engine.add_adapter("copy", shutil.copytree(adapters["one"], tmp_path / "copy"))
    same = engine.generate([replace(request, runs=PROMPT), request])
    assert same[0].tokens == same[1].tokens
    assert same[1].prefilled == 0
    engine.add_adapter("copy", adapters["wide"])  # the same name, other content: nothing of the old may be reused
    other = engine.generate([request])[0]
    assert (other.reused, other.prefilled) == (40, 3)
    assert engine.adapters["copy"].digest == engine.adapters["wide"].digest
    assert other.tokens == engine.generate([replace(request, runs=[CONTEXT, Run(INVOCATION, "wide")])])[0].tokens


def test_weights_go_with_the_last_name_and_request(engine: Engine, adapters: dict[str, Path]) -> None:
    request = Request([CONTEXT, Run(INVOCATION, "copy")], max_tokens=6, ignore_eos=True)
    expected = engine.generate([replace(request, runs=[CONTEXT, Run(INVOCATION, "one")])])[0].tokens
    engine.remove_adapter("one")
    assert len(engine.inspect().loaded) == 2
    engine.add_adapter("copy", adapters["one"])  # the same content: its KV is still good
    ticket = engine.submit(request)
    engine.step()
    engine.add_adapter("copy", adapters["wide"])
    assert len(engine.inspect().loaded) == 3
    results = {}
    while engine.busy:
        results |= engine.step()
    assert (results[ticket].tokens, results[ticket].reused) == (expected, 43)
    assert len(engine.inspect().loaded) == 2


def test_the_old_format_counts_without_its_first_token(
    engine: Engine, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(adapters["one"], tmp_path / "old")
    raw = json.loads((folder / "adapter_config.json").read_text())
    raw |= {"alora_invocation_tokens": None, "invocation_string": "<|call|>ab<|go|>"}
    (folder / "adapter_config.json").write_text(json.dumps(raw))
    config = engine.add_adapter("old", folder)
    assert config.activated
    assert list(config.invocation_tokens) == engine.model.tokenizer.encode("ab<|go|>").ids  # type: ignore[union-attr]
    assert not engine.adapters["plain"].activated


@pytest.mark.parametrize("slots", [66, 70, 90, 140])
def test_every_kind_of_request_survives_a_small_arena(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    """66 slots are what the largest of them needs alone."""
    monkeypatch.setattr(scheduler, "TAIL", 2)
    prompts = [PROMPT, [CONTEXT], [Run(CONTEXT.tokens[:20]), Run(INVOCATION, "wide")]]
    requests = [
        request
        for prompt in prompts
        for request in (
            Request(prompt, max_tokens=24, ignore_eos=True),
            Request(prompt, choices=((1, 2, 3), (1, 2, 4, 5), (1, 7), (8, 9), (8, 9, 10))),
            Request(prompt, constraint=Constraint.regex("the (cat|dog) is [0-9]{2}!"), max_tokens=20),
            Request(prompt, max_tokens=9, temperature=1.0, seed=4, ignore_eos=True),
        )
    ]
    engine = make_engine(cache_tokens=slots, chunk_tokens=11)
    tickets, results = [engine.submit(request) for request in requests], {}
    while engine.busy:
        results |= engine.step()
        engine.check()
    for expected, ticket in zip(make_engine().generate(requests), tickets, strict=True):
        assert results[ticket].tokens == expected.tokens
        assert results[ticket].choice_logprobs == pytest.approx(expected.choice_logprobs, abs=1e-4)


def test_an_interrupted_generate_takes_its_requests_back(engine: Engine) -> None:
    rows = engine.model.rows
    engine.model.rows = lambda batch: 1 // 0  # type: ignore[assignment, method-assign]
    with pytest.raises(ZeroDivisionError):
        engine.generate([Request(PROMPT), Request([CONTEXT])])
    assert not engine.busy
    engine.check()
    engine.model.rows = rows  # type: ignore[method-assign]
    assert engine.generate([Request(PROMPT, max_tokens=1)])[0].prefilled == 43


def test_half_precision(make_engine: Callable[..., Engine]) -> None:
    requests = [Request(PROMPT, max_tokens=4, logprobs=3), Request([CONTEXT], choices=((1,), (2,)))]
    rough = [make_engine(dtype=dtype).generate(requests) for dtype in ("bfloat16", "auto")]
    exact = make_engine().generate(requests)
    for completions in rough:
        assert completions[1].choice_logprobs == pytest.approx(exact[1].choice_logprobs, abs=1.0)


def test_stats_add_up(engine: Engine) -> None:
    completions = engine.generate([Request(PROMPT, max_tokens=3), Request([CONTEXT], choices=((1,), (2,)))])
    for field in ("reused", "prefilled", "generated", "forced"):
        assert getattr(engine.stats, field) == sum(getattr(completion, field) for completion in completions)
    assert engine.stats.requests == 2
    assert engine.stats.seconds > 0

"""Every answer equals full forward passes, however it was batched, cached, chunked or evicted."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from alora_runtime import Engine, Request, Run
from alora_runtime.compute import clusters
from alora_runtime.compute.batch import Batch, Batcher
from alora_runtime.compute.cpu import processor
from alora_runtime.compute.cpu.matrix import Twice
from alora_runtime.errors import RequestError
from alora_runtime.requests import Completion
from alora_runtime.schedule import scheduler, sequence
from alora_runtime.schedule.sequence import Plan
from tests.runtime.checkpoints import ARCHITECTURES, Oracle, labelled, make_adapter, make_checkpoint
from tests.runtime.serving import serve


def sound(engine: Engine, requests: list[Request]) -> list[Completion]:
    """Like generate, with every invariant checked after every step."""
    answers = serve(engine, requests, apart=0)
    for request, answer in zip(requests, answers, strict=True):
        assert answer.error is None
        assert answer.reused + answer.prefilled == request.prompt_length
    return answers


def assert_close(completion: Completion, oracle: Oracle, runs: list[Run], near: float = 1e-4) -> None:
    """The reported log-probabilities of every step, against full passes over (token, adapter) pairs."""
    sequence = labelled((run.tokens, run.adapter) for run in runs)
    first = len(sequence)
    sequence += [(token, runs[-1].adapter) for token in completion.tokens[:-1]]
    expected = oracle.logits(sequence)[first - 1 :].log_softmax(-1)
    for step, (token, row) in enumerate(zip(completion.tokens, completion.logprobs, strict=True)):
        assert len(row) == 260
        got = torch.tensor([row[index] for index in range(260)])
        assert (got - expected[step]).abs().max() < near
        assert token == int(expected[step].argmax())


def assert_greedy(oracle: Oracle, prompt: list[tuple[int, str | None]], answer: Sequence[int]) -> None:
    """Every token is the most likely one, by one full pass, or as likely as that within 1e-4."""
    logits = oracle.logits([*prompt, *((token, prompt[-1][1]) for token in answer[:-1])])[len(prompt) - 1 :]
    best = logits.max(-1).values
    assert (best - logits[range(len(answer)), list(answer)]).max() < 1e-4


def test_mixed_batch_matches_the_oracle(engine: Engine, oracle: Oracle) -> None:
    random.seed(3)
    context = [random.randrange(256) for _ in range(60)]
    runs = [
        [Run(context)],
        [Run(context), Run((257, 40, 258), "one")],
        [Run(context), Run((257, 40, 258), "wide")],
        [Run(context[:31]), Run(context[31:], "one"), Run((9, 8, 7))],
        [Run(context, "plain")],
        [Run((3,))],
    ]
    requests = [Request(own, max_tokens=5, logprobs=260, ignore_eos=True) for own in runs]
    for _ in ("cold", "warm"):
        for own, completion in zip(runs, sound(engine, requests), strict=True):
            assert_close(completion, oracle, own)


def test_weights_in_two_layouts(
    make_engine: Callable[..., Engine], oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As models of some size have them: one row by one of them, a few by the other."""
    monkeypatch.setattr(processor, "TWICE", range(1 << 60))
    monkeypatch.setattr(processor, "LARGE", 1)
    engine = make_engine(processor="cpu")
    matrices = [part.matrix for layer in engine.model.network.layers for part in layer.projections]
    assert all(isinstance(matrix, Twice) for matrix in matrices)
    runs = [[Run((*range(20), index)), Run((257, 40, 258), name)] for index, name in enumerate(("one", "wide", None))]
    assert not any("packed" in vars(matrix) for matrix in matrices)  # a model is opened without the second one
    for count in (1, 3):
        requests = [Request(own, max_tokens=5, logprobs=260, ignore_eos=True) for own in runs[:count]]
        for own, completion in zip(runs, sound(engine, requests), strict=False):
            assert_close(completion, oracle, own)
    assert all("packed" in vars(matrix) for matrix in matrices)


def test_no_step_makes_all_of_the_second_layout(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That took as long as several steps, in the middle of whatever was being answered."""
    monkeypatch.setattr(processor, "TWICE", range(1 << 60))
    monkeypatch.setattr(processor, "AT_ONCE", 2)
    engine = make_engine(processor="cpu")
    matrices = [part.matrix for layer in engine.model.network.layers for part in layer.projections]
    for index in range(3):
        engine.submit(Request([Run((index, index + 1))], max_tokens=len(matrices), ignore_eos=True))
    made = [0]
    while engine.busy:
        engine.step()
        made.append(sum("packed" in vars(matrix) for matrix in matrices))
    assert max(after - before for before, after in pairwise(made)) == 2
    assert made[-1] == len(matrices)


def test_an_adapter_may_begin_with_the_answer(engine: Engine, oracle: Oracle) -> None:
    prompt = [Run((5, 6, 7, 8)), Run((), "wide"), Run((9, 10)), Run((), "one")]
    plain, completion = sound(engine, [Request(prompt[:3], max_tokens=1), Request(prompt, max_tokens=6)])
    assert (completion.reused, completion.prefilled) == (6, 0)
    assert plain.tokens[0] == completion.tokens[0]  # the first row is still the base's
    answer = completion.tokens
    logits = oracle.logits([*((token, None) for token in (5, 6, 7, 8, 9, 10)), *((token, "one") for token in answer)])
    assert list(answer[1:]) == logits[6:-1].argmax(-1).tolist()


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"llama"}))
def test_architectures(architecture: str, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base", architecture)
    adapter = make_adapter(tmp_path / "adapter", base, r=3, target_modules="all-linear")
    oracle = Oracle(base, {"one": adapter})
    context = [7 * index % 256 for index in range(40)]
    runs = [[Run(context)], [Run(context), Run((1, 2, 3), "one")], [Run(context[:20]), Run((5, 6))]]
    for attention in ("fast", "reference"):
        engine = Engine.load(base, {"one": adapter}, cache_tokens=512, attention=attention)
        requests = [Request(own, max_tokens=3, logprobs=260, ignore_eos=True) for own in runs]
        for own, completion in zip(runs, sound(engine, requests), strict=True):
            assert_close(completion, oracle, own)


def test_weights_in_half_precision_are_computed_in_full(base: Path, tmp_path: Path) -> None:
    rounded = LlamaForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    rounded.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    shutil.copy(base / "tokenizer.json", tmp_path)
    completion = sound(Engine.load(tmp_path, cache_tokens=64), [Request([Run((1, 2, 3))], max_tokens=3, logprobs=260)])
    assert_close(completion[0], Oracle(tmp_path, {}), [Run((1, 2, 3))])


LABELS = (None, "one", "wide", "plain")


@st.composite
def trees(draw: st.DrawFn) -> list[list[tuple[tuple[int, ...], str | None]]]:
    """Sequences that branch off each other at any token, under any adapter."""
    sequences: list[list[tuple[tuple[int, ...], str | None]]] = []
    for _ in range(draw(st.integers(1, 6))):
        runs: list[tuple[tuple[int, ...], str | None]] = []
        if sequences and draw(st.booleans()):
            whole = labelled(draw(st.sampled_from(sequences)))
            runs = [((token,), adapter) for token, adapter in whole[: draw(st.integers(1, len(whole)))]]
        for _ in range(draw(st.integers(0 if runs else 1, 2))):
            tokens = draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
            runs.append((tuple(tokens), draw(st.sampled_from(LABELS))))
        sequences.append(runs)
    return sequences


@given(
    tree=trees(),
    chunk=st.sampled_from([1, 3, 16, 2048]),
    slots=st.sampled_from([0, 1, 20, 2000]),
    reuse=st.booleans(),
    tail=st.sampled_from([1, 64]),
    share=st.sampled_from([1, scheduler.SHARE, 1 << 60]),
    ahead=st.sampled_from([1, 3, 64]),
    stagger=st.integers(0, 3),
    count=st.integers(1, 6),
    prefix=st.sampled_from([1, 3, 32]),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_any_chunk_any_arena(
    make_engine: Callable[..., Engine],
    oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
    tree: list[list[tuple[tuple[int, ...], str | None]]],
    chunk: int,
    slots: int,
    reuse: bool,
    tail: int,
    share: int,
    ahead: int,
    stagger: int,
    count: int,
    prefix: int,
) -> None:
    """`slots`: how much larger the arena is than the largest request needs. `tail`: slots asked for at a time.
    `share`: of the free ones, asked for at once. `ahead`: read along before they are used.
    `prefix`: from where on shared prefixes are read once."""
    monkeypatch.setattr(scheduler, "TAIL", tail)
    monkeypatch.setattr(scheduler, "SHARE", share)
    monkeypatch.setattr(sequence, "AHEAD", ahead)
    monkeypatch.setattr(clusters, "PREFIX", prefix)
    monkeypatch.setattr(clusters, "SHARED", prefix)
    largest = max(len(labelled(runs)) for runs in tree) + count - 1
    engine = make_engine(cache_tokens=largest + slots, chunk_tokens=chunk, reuse=reuse)
    # Slots that no row has written are loud: letting a row see one of them would show.
    engine.inspect().arena.fill_(1e4)
    for _ in ("cold", "warm"):
        requests = [Request([Run(*run) for run in runs], max_tokens=count, ignore_eos=True) for runs in tree]
        answers = serve(engine, *([one] for one in requests), apart=stagger)
        for runs, answer in zip(tree, answers, strict=True):
            assert_greedy(oracle, labelled(runs), answer.tokens)
            assert len(answer.tokens) == count
            assert answer.reused + answer.prefilled == len(labelled(runs))
            assert reuse or answer.reused == 0


@pytest.mark.parametrize("share", [scheduler.SHARE, 1 << 60], ids=["all at once", "in parts"])
@pytest.mark.parametrize("lengths", [[1] * 7, [1, 2, 1, 3, 1]], ids=["alike", "uneven"])
@pytest.mark.parametrize("attention", ["fast", "reference"])
def test_siblings_on_a_long_prefix(
    make_engine: Callable[..., Engine],
    oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
    share: int,
    lengths: list[int],
    attention: str,
) -> None:
    """Read once and merged; with tails alike as one batch over equal distances, and else under masks."""
    monkeypatch.setattr(scheduler, "TAIL", 4)
    monkeypatch.setattr(scheduler, "SHARE", share)
    monkeypatch.setattr(sequence, "AHEAD", 4)
    for name, value in {"PREFIX": 1, "SHARED": 1, "CALL": 0}.items():
        monkeypatch.setattr(clusters, name, value)
    context = [7 * index % 256 for index in range(70)]
    runs = [[Run(context), Run((*range(length), index), "wide")] for index, length in enumerate(lengths)]
    engine = make_engine(attention=attention)
    requests = [Request(own, max_tokens=12, logprobs=260, ignore_eos=True) for own in runs]
    strides: list[bool] = []
    build = Batcher.build

    def noting(batcher: Batcher, plan: Plan) -> Batch:
        made = build(batcher, plan)
        strides.append(bool(made.clusters[0].stride))
        return made

    monkeypatch.setattr(Batcher, "build", noting)
    for own, completion in zip(runs, sound(engine, requests), strict=True):
        assert_close(completion, oracle, own)
    assert any(strides) == (len(set(lengths)) == 1)


LENGTH = 48


@pytest.mark.parametrize(
    ("rope", "architecture"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": LENGTH}, "qwen2"),
        ({"rope_type": "yarn", "factor": 4.0}, "llama"),
        ({"rope_type": "linear", "factor": 3.0}, "llama"),
    ],
)
@pytest.mark.parametrize("attention", ["fast", "reference"])
def test_a_rope_goes_on_beyond_the_length_that_it_stretches(
    rope: dict[str, object], architecture: str, attention: str, tmp_path: Path
) -> None:
    settings = {"max_position_embeddings": LENGTH, "rope_parameters": {"rope_theta": 1e4, **rope}}
    base = make_checkpoint(tmp_path / "base", architecture, **settings)
    engine, runs = Engine.load(base, cache_tokens=512, attention=attention), [Run([*range(LENGTH), *range(40)])]
    completion = sound(engine, [Request(runs, max_tokens=20, logprobs=260, ignore_eos=True)])[0]
    assert_close(completion, Oracle(base, {}), runs)
    with pytest.raises(RequestError, match=f"more than the model's {int(LENGTH * rope['factor'])} positions"):  # type: ignore[call-overload]
        engine.submit(Request(runs, max_tokens=200))


@pytest.mark.parametrize("name", ["su", "yarn"])
def test_longrope_by_its_older_names(name: str, tmp_path: Path) -> None:
    """As Phi-3's first folders have it."""
    base = make_checkpoint(tmp_path / "base", "phi3-longrope", original_max_position_embeddings=LENGTH)
    oracle, path = Oracle(base, {}), base / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    older = {"type": name, "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]}
    further = {field: rope[field] for field in ("rope_theta", "partial_rotary_factor")}
    path.write_text(json.dumps({**config, **further, "rope_scaling": older}))
    engine, runs = Engine.load(base, cache_tokens=512), [Run(range(LENGTH - 4))]
    assert engine.model.source.max_positions == LENGTH
    assert_close(engine.generate([Request(runs, max_tokens=5, logprobs=260, ignore_eos=True)])[0], oracle, runs)


def test_longrope_ends_where_it_would_turn_otherwise(tmp_path: Path) -> None:
    """Beyond, transformers turns every token by other frequencies, and KV of shorter sequences is of no use."""
    base = make_checkpoint(tmp_path / "base", "phi3-longrope", original_max_position_embeddings=LENGTH)
    engine, oracle = Engine.load(base, cache_tokens=512), Oracle(base, {})
    runs = [Run(range(LENGTH - 4))]
    assert_close(engine.generate([Request(runs, max_tokens=5, logprobs=260, ignore_eos=True)])[0], oracle, runs)
    with pytest.raises(RequestError, match=f"more than the model's {LENGTH} positions"):
        engine.submit(Request(runs, max_tokens=6))
    ids = [(token, None) for token in range(LENGTH + 1)]
    assert (oracle.logits(ids)[: LENGTH - 4] - oracle.logits(ids[: LENGTH - 4])).abs().max() > 1e-2

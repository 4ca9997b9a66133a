"""Layers that look over the last tokens only: every answer equals full forward passes, as without a window."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForCausalLM

from alora_runtime import Engine, Request, Run
from alora_runtime.compute import clusters
from alora_runtime.compute.batch import Batch, Batcher
from alora_runtime.schedule import scheduler, sequence
from alora_runtime.schedule.sequence import Plan
from tests.runtime.checkpoints import PADDED, VOCABULARY, WINDOW, Oracle, labelled, make_adapter, make_checkpoint
from tests.runtime.conftest import INVOCATION
from tests.runtime.serving import serve
from tests.runtime.test_oracle import assert_close, assert_greedy, sound

WINDOWED = (
    "mistral-window",
    "ministral",
    "qwen2-window",
    "qwen3-window",
    "smollm3-window",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt_oss",
)

CONTEXT = [7 * index % 256 for index in range(8 * WINDOW)]


NEAR = 5e-4
"""Random models this loud round by up to 1e-4, as chunks fall; one token more or less in a window is 1 and more."""


class Served:
    """A windowed model with an activated adapter of all linear layers, a plain one, and its oracle."""

    def __init__(self, home: Path, architecture: str, processor: str) -> None:
        self.base = make_checkpoint(home / "base", architecture)
        whole = {"target_modules": "all-linear", "alora_invocation_tokens": list(INVOCATION)}
        part = {"r": 2, "target_modules": ["qkv_proj", "o_proj"] if architecture == "phi3" else ["q_proj", "o_proj"]}
        self.adapters = {
            "one": make_adapter(home / "one", self.base, 1, **whole),
            "plain": make_adapter(home / "plain", self.base, 2, **part),
        }
        self.oracle, self.processor = Oracle(self.base, self.adapters), processor

    def engine(self, **settings: object) -> Engine:
        given = {"cache_tokens": 2048, "processor": self.processor, **settings}
        return Engine.load(self.base, self.adapters, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=WINDOWED)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, processor: str) -> Served:
    return Served(tmp_path_factory.mktemp("windowed"), request.param, processor)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Every batch that is built."""
    seen: list[Batch] = []
    build = Batcher.build

    def noting(batcher: Batcher, plan: Plan) -> Batch:
        seen.append(build(batcher, plan))
        return seen[-1]

    monkeypatch.setattr(Batcher, "build", noting)
    return seen


def reused_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every shared prefix once, however short, and cut pieces early."""
    for name, value in {"PREFIX": 1, "SHARED": 1, "CALL": 0, "BLOCK": 4}.items():
        monkeypatch.setattr(clusters, name, value)


@pytest.mark.parametrize("attention", ["fast", "reference"])
@pytest.mark.parametrize("eager", [False, True], ids=["few calls", "many calls"])
def test_mixed_batch(served: Served, attention: str, eager: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths below, at and far above the window; cold, then from the cache; short prompts grow beyond it."""
    if eager:
        reused_prefixes(monkeypatch)
    runs = [
        [Run(CONTEXT)],
        [Run(CONTEXT), Run(INVOCATION, "one")],
        [Run(CONTEXT[:20]), Run(CONTEXT[20:30], "one"), Run((9, 8, 7))],
        [Run(CONTEXT, "plain")],
        [Run(CONTEXT[:WINDOW])],
        [Run((3,))],
    ]
    requests = [Request(own, max_tokens=3 * WINDOW, logprobs=260, ignore_eos=True) for own in runs]
    engine = served.engine(attention=attention, chunk_tokens=17)
    for _ in ("cold", "warm"):
        for own, completion in zip(runs, sound(engine, requests), strict=True):
            assert_close(completion, served.oracle, own, NEAR)


TREES = st.lists(
    st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.sampled_from([None, "one", "plain"])),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@given(
    tree=TREES,
    chunk=st.sampled_from([1, 3, 16, 2048]),
    slots=st.sampled_from([0, 1, 20, 2000]),
    tail=st.sampled_from([1, 64]),
    ahead=st.sampled_from([1, 3, 64]),
    stagger=st.integers(0, 3),
    count=st.integers(1, 9),
    prefix=st.sampled_from([1, 3, 32]),
    block=st.sampled_from([1, 5, 128]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    tree: list[list[tuple[list[int], str | None]]],
    chunk: int,
    slots: int,
    tail: int,
    ahead: int,
    stagger: int,
    count: int,
    prefix: int,
    block: int,
) -> None:
    """As the property of `test_oracle`: forks, chunks, arenas so small that sequences are evicted and preempted."""
    monkeypatch.setattr(scheduler, "TAIL", tail)
    monkeypatch.setattr(sequence, "AHEAD", ahead)
    for name, value in {"PREFIX": prefix, "SHARED": prefix, "BLOCK": block}.items():
        monkeypatch.setattr(clusters, name, value)
    largest = max(len(labelled(runs)) for runs in tree) + count - 1
    engine = served.engine(cache_tokens=largest + slots, chunk_tokens=chunk)
    engine.inspect().arena.fill_(1e4)
    for _ in ("cold", "warm"):
        requests = [Request([Run(*run) for run in runs], max_tokens=count, ignore_eos=True) for runs in tree]
        answers = serve(engine, *([one] for one in requests), apart=stagger)
        for runs, answer in zip(tree, answers, strict=True):
            assert_greedy(served.oracle, labelled(runs), answer.tokens)
            assert answer.reused + answer.prefilled == len(labelled(runs))


@pytest.mark.parametrize("lengths", [[1] * 7, [1, 2, 1, 3, 1]], ids=["alike", "uneven"])
def test_siblings_on_a_long_prefix(
    served: Served, batches: list[Batch], monkeypatch: pytest.MonkeyPatch, lengths: list[int]
) -> None:
    """They share what is left of the prefix in the window, and then nothing of it."""
    reused_prefixes(monkeypatch)
    monkeypatch.setattr(scheduler, "TAIL", 4)
    monkeypatch.setattr(sequence, "AHEAD", 4)
    runs = [[Run(CONTEXT), Run((*range(length), index), "one")] for index, length in enumerate(lengths)]
    requests = [Request(own, max_tokens=2 * WINDOW, logprobs=260, ignore_eos=True) for own in runs]
    for own, completion in zip(runs, sound(served.engine(), requests), strict=True):
        assert_close(completion, served.oracle, own, NEAR)
    shared = [cluster for batch in batches for cluster in batch.windowed if cluster.prefix]
    assert any(cluster.last > cluster.first + 1 for cluster in shared) or len(set(lengths)) > 1


def test_choices(served: Served) -> None:
    """A trie's rows look back over the window from where each stands."""
    choices = [(1,), (2, 3), (2, 4, 5), (2, 4, 6, *range(10, 10 + WINDOW))]
    for runs in ([Run(CONTEXT)], [Run(CONTEXT), Run(INVOCATION, "one")], [Run((5,))]):
        answer = sound(served.engine(), [Request(runs, choices=choices)])[0]
        prompt = labelled((run.tokens, run.adapter) for run in runs)
        expected = []
        for choice in choices:
            rows = served.oracle.logits([*prompt, *((token, runs[-1].adapter) for token in choice)])
            rows = rows[len(prompt) - 1 : -1].log_softmax(-1)
            expected.append(float(rows[range(len(choice)), list(choice)].sum()))
        assert answer.choice_logprobs == pytest.approx(expected, abs=1e-3)


def test_activated_as_peft_does_it(served: Served) -> None:
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(served.base), served.adapters["one"], adapter_name="one"
    )
    tokens = (*CONTEXT, *INVOCATION)
    settings = {"max_new_tokens": 9, "do_sample": False, "eos_token_id": None}
    padding = list(range(VOCABULARY, PADDED))
    expected = peft.generate(input_ids=torch.tensor([tokens]), suppress_tokens=padding, **settings)
    runs = [Run(CONTEXT), Run(INVOCATION, "one")]
    completion = served.engine().generate([Request(runs, max_tokens=9, ignore_eos=True)])[0]
    assert list(completion.tokens) == expected[0, len(tokens) :].tolist()


def test_slots_outside_are_not_read(served: Served, batches: list[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    """A decode step reads the window; a prompt, in parts of a block, the window and the block."""
    monkeypatch.setattr(clusters, "BLOCK", 4)
    monkeypatch.setattr(clusters, "CALL", 0)
    served.engine().generate([Request([Run(CONTEXT)], max_tokens=9, ignore_eos=True)])
    prompt, *steps = batches
    assert max(cluster.width for cluster in prompt.windowed) <= WINDOW - 1 + 4
    assert sum(cluster.last - cluster.first for cluster in prompt.windowed) == len(CONTEXT)
    assert [[cluster.width for cluster in step.windowed] for step in steps] == [[WINDOW]] * 8


def test_the_numbers_of_both_processors_agree(served: Served) -> None:
    requests = [Request([Run(CONTEXT), Run((index,))], max_tokens=6, logprobs=260, ignore_eos=True) for index in (1, 2)]
    answers = [served.engine(processor=name, chunk_tokens=20).generate(requests) for name in ("cpu", "plain")]
    for one, other in zip(*answers, strict=True):
        assert (one.tokens, one.reused, one.prefilled) == (other.tokens, other.reused, other.prefilled)
        for left, right in zip(one.logprobs, other.logprobs, strict=True):
            assert left == pytest.approx(right, abs=1e-4)


STRAY = {
    "sliding_window": 3,
    "final_logit_softcapping": 0.5,
    "attn_logit_softcapping": 0.5,
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.5,
    "logits_scaling": 4.0,
}


@pytest.mark.parametrize("attention", ["fast", "reference"])
@pytest.mark.parametrize("architecture", ["llama", "llama3-rope", "qwen3", "gemma3"])
def test_fields_of_other_architectures_mean_nothing(architecture: str, attention: str, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, architecture)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**STRAY, **config}))
    engine = Engine.load(base, cache_tokens=256, attention=attention)
    completion = engine.generate([Request([Run(CONTEXT)], max_tokens=4, logprobs=260, ignore_eos=True)])[0]
    assert_close(completion, Oracle(base, {}), [Run(CONTEXT)], NEAR)


def test_half_precision(served: Served) -> None:
    """Every part computes in the model's own type, or in float32: as near to the full numbers as rounding leaves it."""
    request = Request([Run(CONTEXT), Run(INVOCATION, "one")], max_tokens=1, logprobs=260)
    rows = [served.engine(dtype=dtype).generate([request])[0].logprobs[0] for dtype in ("float32", "bfloat16")]
    assert rows[0] == pytest.approx(rows[1], abs=2.5)
    best = sorted(rows[0], key=rows[0].__getitem__)[-5:]
    assert [rows[1][token] for token in best] == pytest.approx([rows[0][token] for token in best], abs=1.0)

"""Kept contexts are what the base computes, and what is learnt over them is what PEFT learns on whole sequences."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from torch.nn import functional as F

from alora_flow.errors import BadInput, RunFailed
from alora_flow.training import contexts as module
from alora_flow.training.adapted_model import AdaptedModel
from alora_flow.training.batches import Material
from alora_flow.training.contexts import Contexts, read_contexts
from alora_flow.training.samples import TrainingSample
from alora_runtime import Engine
from tests.runtime.checkpoints import make_checkpoint

INVOCATION = (257, 40, 258)


def sequences(count: int = 7) -> list[tuple[int, ...]]:
    """Some that begin alike, one twice, one that is the beginning of another."""
    drawn = random.Random(3)
    document = [drawn.randrange(256) for _ in range(20)]
    some = [(*document, *(drawn.randrange(256) for _ in range(drawn.randrange(1, 9)))) for _ in range(count)]
    return [*some, tuple(document), some[0], (5,)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("llama"))


def read(base: Path, some: list[tuple[int, ...]], **how: object) -> Contexts:
    return read_contexts(Engine.load(base, cache_tokens=512), some, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
def test_each_shared_token_is_kept_once(llama: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    some = sequences()
    kept = read(llama, some)
    assert kept.tokens == len({one[:end] for one in some for end in range(1, len(one) + 1)})
    engine = Engine.load(llama, cache_tokens=512)
    for row, one in enumerate(some):
        read_contexts(engine, [one])  # alone
        past = kept.of([row, 0])
        assert past.lengths.tolist() == [len(one), len(some[0])]
        alone = read_contexts(engine, [one]).of([0]).kv[:, :, :, 0]
        assert (past.kv[:, :, :, 0, : len(one)].float() - alone.float()).abs().max() < 2e-2  # of bfloat16


def test_a_file_holds_the_same(llama: Path, tmp_path: Path) -> None:
    some = sequences()
    assert torch.equal(read(llama, some).table, read(llama, some, memory=0, folder=tmp_path).table)
    assert not list(tmp_path.iterdir())  # it goes with the process


def test_a_full_disk_is_told_before_anything_is_computed(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(RunFailed, match=r"contexts take 0\.0 GB.*No space left"):
        read(llama, sequences(), memory=0)


def config(**more: object) -> LoraConfig:
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    return LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **{**settings, **more})  # type: ignore[arg-type]


def float32(kept: Contexts, base: Path, some: list[tuple[int, ...]]) -> Contexts:
    """The same places with a table that is not rounded: so that a comparison is one of arithmetic."""
    engine = Engine.load(base, cache_tokens=512)
    table = kept.table.float()
    for one, places in zip(some, kept.places, strict=True):
        read_contexts(engine, [one])
        table[:, :, :, places] = engine.kv([module.Run(one)]).permute(0, 2, 3, 1, 4)
    return Contexts(table, kept.places)


@pytest.mark.parametrize(
    "architecture",
    ["llama", "granite", "qwen3", "smollm3", "gemma", "gemma2", "gemma3", "mistral-window", "gpt_oss", "phi3"],
)
def test_scores_and_gradients_are_those_of_whole_sequences(architecture: str, tmp_path: Path) -> None:
    """Against PEFT's own activated LoRA on the whole sequence, one row at a time, without padding."""
    base = make_checkpoint(tmp_path / "base", architecture)
    some = sequences(3)
    samples = [
        TrainingSample(one, INVOCATION, answer) for one, answer in zip(some, [(7,), (8, 9, 1), (2, 3)], strict=False)
    ]
    torch.manual_seed(1)
    targets = {"phi3": ["qkv_proj", "down_proj"], "gpt_oss": ["q_proj", "v_proj", "o_proj"]}
    chosen = targets.get(architecture, ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"])
    ours = AdaptedModel(base, config(target_modules=chosen), torch.float32, over_contexts=True)
    kept = float32(read(base, some[: len(samples)]), base, some[: len(samples)])
    batch = Material(samples, kept).batch(range(len(samples)))
    scores = ours.scores(batch.tokens, batch.kept, batch.past, batch.seen)
    loss = F.cross_entropy(scores.flatten(0, 1), batch.wanted.flatten(), ignore_index=-100, reduction="sum")
    torch.autograd.backward(loss)
    whole_config = config(target_modules=chosen, alora_invocation_tokens=list(INVOCATION))
    peft = AdaptedModel(base, whole_config, torch.float32, over_contexts=False)
    peft.restore(ours.state())
    total = torch.tensor(0.0)
    for row, sample in enumerate(samples):
        whole = torch.tensor([[*sample.context, *sample.adapted, *sample.answer[:-1]]])
        expected = peft.model(input_ids=whole).logits[0, -len(sample.answer) :]
        assert (scores[row, : len(sample.answer)] - expected).abs().max() < 1e-3
        total = total + F.cross_entropy(expected, torch.tensor(sample.answer), reduction="sum")
    torch.autograd.backward(total)
    assert abs(loss.item() - total.item()) < 1e-3
    for one, other in zip(ours.parameters, peft.parameters, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert (one.grad - other.grad).norm() <= 1e-3 * other.grad.norm() + 1e-6


def test_targets_that_the_base_does_not_have(llama: Path) -> None:
    with pytest.raises(BadInput, match="the base has no qkv_proj for an adapter"):
        AdaptedModel(llama, config(target_modules=["q_proj", "qkv_proj"]), torch.float32, over_contexts=True)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_whole_sequences_are_padded_without_a_trace(llama: Path, some: list[list[int]]) -> None:
    """A plain LoRA's rows, in one batch and alone."""
    torch.manual_seed(1)
    model = AdaptedModel(llama, config(), torch.float32, over_contexts=False)
    samples = [TrainingSample((), tuple(one), (7, 8)[: 1 + len(one) % 2]) for one in some]
    material = Material(samples)
    together = material.batch(range(len(samples)))
    with torch.no_grad():
        scores = model.scores(together.tokens, together.kept, None, together.seen)
        for row, sample in enumerate(samples):
            alone = material.batch([row])
            expected = model.scores(alone.tokens, alone.kept, None, alone.seen)[0]
            assert (scores[row, : len(sample.answer)] - expected).abs().max() < 1e-4

"""The first step of a training, from a spec and rows on: its loss and its gradient are PEFT's on whole sequences."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from alora_flow.intrinsics.library import find_model
from alora_flow.training.adapted_model import AdaptedModel
from alora_flow.training.batches import Material
from alora_flow.training.contexts import Contexts, read_contexts
from alora_flow.training.fitting import side_by_side
from alora_flow.training.library_files import lora_config
from alora_flow.training.samples import TrainingSample
from alora_flow.training.spec import IntrinsicSpec, read_spec
from alora_flow.training.training import fitting_of, prepare
from alora_runtime import Engine, Run
from tests.training.rows import SPEC, small, write

BASE = find_model("mini", Path())
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def told(number: int) -> dict[str, Any]:
    """Rows of one document, with and without a system turn and earlier talk; every third without a document."""
    system = [{"role": "system", "content": "Be brief."}] * (number % 2)
    talk = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}] * (number // 2 % 2)
    question = {"role": "user", "content": f"Is it {('red', 'blue', 'old and very large')[number % 3]}?"}
    documents = [] if number % 3 == 2 else ["Tarnok is a town.", {"title": "Towns", "text": "Morvek is old."}]
    return {"messages": [*system, *talk, question], "documents": documents, "completion": "YN"[number % 2]}


def contexts(samples: list[TrainingSample]) -> Contexts:
    """In float32, so that a comparison is one of arithmetic."""
    engine = Engine.load(BASE.folder, cache_tokens=4096)
    kept = read_contexts(engine, [one.context for one in samples])
    table = kept.table.float()
    for one, places in zip(samples, kept.places, strict=True):
        read_contexts(engine, [one.context])
        table[:, :, :, places] = engine.kv([Run(one.context)]).permute(0, 2, 3, 1, 4)
    return Contexts(table, kept.places)


def whole(spec: IntrinsicSpec, weights: dict[str, Any], samples: list[TrainingSample], invocation: Any) -> AdaptedModel:
    """PEFT's own adapter, with the gradient of these rows, one at a time."""
    config = lora_config(spec, BASE.name, invocation)
    config.inference_mode = False
    peft = AdaptedModel(BASE.folder, config, torch.float32, over_contexts=False)
    peft.restore(weights)
    tokens = sum(len(one.answer) for one in samples)
    for one in samples:
        ids = torch.tensor([[*one.context, *one.adapted, *one.answer[:-1]]])
        scores = peft.model(input_ids=ids).logits[0, -len(one.answer) :]
        torch.autograd.backward(F.cross_entropy(scores, torch.tensor(one.answer), reduction="sum") / tokens)
    return peft


@pytest.mark.parametrize("activate", ["start", "end"])
@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_it_is_that_of_whole_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, activate: str, texts: bool, parts: int
) -> None:
    text = SPEC.replace("<|safety|>", "<|system|>even")
    text = text.replace("answers = { Y = 1.0, N = 0.0 }", "") if texts else text
    place = "after" if activate == "end" else "first"
    path = small(tmp_path, f'{text}targets = {TARGETS}\nactivate = "{activate}"\ndocuments = "{place}"\n')
    write(tmp_path / "data" / "train.jsonl", map(told, range(12)))
    spec = read_spec(path)
    one = prepare(spec, "even", BASE)
    samples = [*one.samples["train"]]
    material = Material(samples, contexts(samples))
    fitting = fitting_of(BASE, one.spec, one.encoder.invocation, material, material, "float32")
    torch.manual_seed(5)
    first = {name: torch.randn_like(value) / 8 for name, value in fitting.model.state().items()}  # B begins with zeros
    fitting.model.restore(first)
    monkeypatch.setattr(fitting, "_parts", lambda: parts)
    with side_by_side(parts) as fitting._map:
        loss = fitting._backward(range(len(samples)))
    peft = whole(one.spec, first, samples, one.encoder.invocation)
    for ours, theirs in zip(fitting.model.parameters, peft.parameters, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-3 * theirs.grad.norm() + 1e-6
    tokens = sum(len(one.answer) for one in samples)
    assert abs(loss - sum(map(partial(own_loss, peft), samples)) / tokens) < 1e-4


@torch.no_grad()
def own_loss(peft: AdaptedModel, one: TrainingSample) -> float:
    ids = torch.tensor([[*one.context, *one.adapted, *one.answer[:-1]]])
    scores = peft.model(input_ids=ids).logits[0, -len(one.answer) :]
    return float(F.cross_entropy(scores, torch.tensor(one.answer), reduction="sum"))


def test_a_batch_is_divided_among_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small(tmp_path)
    spec = read_spec(path)
    one = prepare(spec, "even", BASE)
    material = Material(one.samples["train"])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)

    def parts(**changed: object) -> int:
        settings = one.spec.model_copy(update=changed)
        return fitting_of(BASE, settings, one.encoder.invocation, material, material, "float32")._parts()

    assert [parts(batch=batch) for batch in (1, 8, 16, 32, 64)] == [1, 1, 2, 4, 4]
    assert parts(batch=32, dropout=0.1) == 1  # what it leaves out would depend on which thread is faster

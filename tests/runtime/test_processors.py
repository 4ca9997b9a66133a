"""Two processors, one protocol: both give the same numbers, and the plain one keeps everything on its device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from alora_runtime import Engine, Request, Run
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute import clusters
from alora_runtime.compute.batch import Batch, Batcher
from alora_runtime.compute.decoder import Decoder
from alora_runtime.compute.model import PROCESSORS
from alora_runtime.compute.plain import Plain
from alora_runtime.errors import ModelError
from alora_runtime.schedule.sequence import Plan

CONTEXT = [7 * index % 256 for index in range(90)]
REQUESTS = [
    Request([Run(CONTEXT)], max_tokens=8, logprobs=260, ignore_eos=True),
    Request([Run(CONTEXT), Run((257, 40, 258), "one")], max_tokens=5, logprobs=260, ignore_eos=True),
    Request([Run(CONTEXT), Run((257, 40, 258), "wide")], max_tokens=5, logprobs=260, ignore_eos=True),
    Request([Run((3, 4)), Run((5, 6), "plain"), Run((7,))], choices=[(1,), (2, 3), (2, 4)], logprobs=3),
]


def test_both_give_the_same_numbers(make_engine: Callable[..., Engine]) -> None:
    answers = [make_engine(processor=name, chunk_tokens=50).generate(REQUESTS) for name in PROCESSORS]
    for one, other in zip(*answers, strict=True):
        assert (one.tokens, one.reused, one.prefilled) == (other.tokens, other.reused, other.prefilled)
        assert one.choice_logprobs == pytest.approx(other.choice_logprobs, abs=1e-4)
        for left, right in zip(one.logprobs, other.logprobs, strict=True):
            assert left == pytest.approx(right, abs=1e-4)


def batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What an engine computes for the requests: prompts, tries, adapters, siblings on a prefix, decode steps."""
    seen: list[Batch] = []
    build = Batcher.build

    def noting(batcher: Batcher, plan: Plan) -> Batch:
        seen.append(build(batcher, plan))
        return seen[-1]

    with monkeypatch.context() as patched:
        patched.setattr(Batcher, "build", noting)
        engine.generate(REQUESTS)
        engine.generate([Request([Run((*CONTEXT, index))], max_tokens=3, ignore_eos=True) for index in range(4)])
    return seen


def test_nothing_leaves_the_device(
    make_engine: Callable[..., Engine], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On torch's device without memory: an operation on tensors of two devices raises there as on a GPU."""
    for name, value in {"PREFIX": 16, "SHARED": 16, "HOLE": 0, "GATHER": 0}.items():
        monkeypatch.setattr(clusters, name, value)
    seen = batches(make_engine(processor="plain"), monkeypatch)
    assert {type(cluster.mask) for batch in seen for cluster in batch.clusters} == {type(None), torch.Tensor}
    assert any(cluster.index is not None for batch in seen for cluster in batch.clusters)
    assert any(cluster.prefix for batch in seen for cluster in batch.clusters)
    assert any(len(batch.routing.adapters) > 1 for batch in seen)
    device = torch.device("meta")
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2) + torch.zeros(2, device=device)
    processor = Plain(device)
    network = Decoder(LlamaForCausalLM.from_pretrained(base), 260, processor)
    for number, rank in ((1, 4), (2, 7), (3, 2)):
        network.put(number, zero_updates(network, rank))
    arena = processor.zeros((len(network.layers), 2049, 2, network.kv_heads, network.dim), network.dtype)
    batcher = processor.batcher(arena, network.heads * network.dim)
    for batch in seen:
        batch.arena, batch.stores = arena, batcher.stores
        rows = network.hidden(batch.to(device))
        assert rows.device == device
        assert network.head(rows).device == device


def zero_updates(network: Decoder, rank: int) -> dict[str, LowRank]:
    shapes = network.modules.items()
    return {name: LowRank(torch.zeros(rank, inputs), torch.zeros(outputs, rank)) for name, (outputs, inputs) in shapes}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "nowhere"}, "device 'nowhere' can't be used"),
        ({"device": "meta", "processor": "cpu"}, "the processor 'cpu' computes on cpu, not on meta"),
        ({"processor": "fpga"}, "there is no processor 'fpga'; there are cpu, plain"),
        ({"dtype": "int8"}, "dtype 'int8' is not supported; supported are auto, float32, bfloat16"),
    ],
)
def test_what_there_is_not_is_told(base: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        Engine.load(base, **settings)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: it is used and not refused")
def test_without_a_gpu_that_is_said(base: Path) -> None:
    with pytest.raises(ModelError, match="device 'cuda' can't be used"):
        Engine.load(base, device="cuda")


def test_the_slow_way_is_told_with_its_reason(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert Engine.load(base, cache_tokens=64).inspect().slow == ""
        assert Engine.load(base, cache_tokens=64, attention="reference").inspect().slow == "it was asked for"
    monkeypatch.setattr(Decoder, "misfit", lambda model: "its layers have a part")
    with pytest.warns(UserWarning, match="runs on the slow reference: its layers have a part"):
        assert Engine.load(base, cache_tokens=64).inspect().slow == "its layers have a part"


def test_what_does_not_fit_the_decoder_is_named(base: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(base)
    assert Decoder.misfit(model) is None
    model.model.layers[1].further = torch.nn.Identity()
    model.model.layers[1].self_attn.gate_proj = torch.nn.Identity()
    model.model.layers[1].mlp.router = torch.nn.Identity()
    assert Decoder.misfit(model) == "its layers have further, mlp.router, self_attn.gate_proj"


def test_the_last_layer_attends_for_rows_that_are_kept(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a prompt the last one, of a piece in its middle none; the other layers attend for all."""
    engine = make_engine(chunk_tokens=64)
    layers, rows, attend = len(engine.model.network.layers), list[int](), engine.model.processor.attend

    def counted(query: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(len(query))
        return attend(query, *rest)

    monkeypatch.setattr(engine.model.processor, "attend", counted)
    engine.generate([Request([Run(range(5, 105))], max_tokens=1, ignore_eos=True)])
    assert rows == [64] * (layers - 1) + [36] * (layers - 1) + [1]

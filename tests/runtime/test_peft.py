"""Parity with PEFT 0.21, which finds the last occurrence of the invocation and adapts from its first token on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from alora_runtime import Engine, Request, Run
from tests.runtime.checkpoints import ARCHITECTURES, make_adapter, make_checkpoint
from tests.runtime.conftest import INVOCATION

CONTEXT = tuple(11 * index % 256 for index in range(30))
ONCE = (*CONTEXT, *INVOCATION)
TWICE = (*CONTEXT[:9], *INVOCATION, *CONTEXT[9:], *INVOCATION, 5, 6)


@pytest.fixture(scope="module")
def peft(base: Path, adapters: dict[str, Path]) -> PeftModel:
    """All adapters on one model."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapters["one"], adapter_name="one")
    for name in ("wide", "plain"):
        model.load_adapter(adapters[name], adapter_name=name)
    return model.eval()


def activated(tokens: tuple[int, ...], adapter: str) -> list[Run]:
    """Base up to the last occurrence, the adapter from there on; base alone where there is none (as PEFT does)."""
    starts = [at for at in range(len(tokens)) if tokens[at : at + len(INVOCATION)] == INVOCATION]
    return [Run(tokens[: starts[-1]]), Run(tokens[starts[-1] :], adapter)] if starts else [Run(tokens)]


def assert_row(engine: Engine, runs: list[Run], expected: torch.Tensor) -> None:
    completion = engine.generate([Request(runs, max_tokens=1, logprobs=260)])[0]
    got = torch.tensor([completion.logprobs[0][token] for token in range(260)])
    assert (got - expected[:260].log_softmax(-1)).abs().max() < 1e-4


@pytest.mark.parametrize("adapter", ["one", "wide"])
@pytest.mark.parametrize("tokens", [CONTEXT, ONCE, TWICE], ids=["absent", "once", "twice"])
def test_activated(engine: Engine, peft: PeftModel, adapter: str, tokens: tuple[int, ...]) -> None:
    peft.set_adapter(adapter)
    with torch.inference_mode():
        expected = peft(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
    for _ in ("cold", "warm"):
        assert_row(engine, activated(tokens, adapter), expected)


def test_plain(engine: Engine, peft: PeftModel) -> None:
    peft.set_adapter("plain")
    with torch.inference_mode():
        expected = peft(input_ids=torch.tensor([CONTEXT]), use_cache=False).logits[0, -1]
    assert_row(engine, [Run(CONTEXT, "plain")], expected)


@pytest.mark.parametrize("tokens", [ONCE, TWICE], ids=["once", "twice"])
def test_generation(engine: Engine, peft: PeftModel, tokens: tuple[int, ...]) -> None:
    peft.set_adapter("one")
    expected = peft.generate(input_ids=torch.tensor([tokens]), max_new_tokens=6, do_sample=False, eos_token_id=None)
    completion = engine.generate([Request(activated(tokens, "one"), max_tokens=6, ignore_eos=True)])[0]
    assert list(completion.tokens) == list(expected[0, len(tokens) :].tolist())


def test_mixed_batch(engine: Engine, peft: PeftModel) -> None:
    rows = [
        (ONCE, "one"),
        (ONCE, "wide"),
        ((*CONTEXT, 1, 2, 3), "plain"),
        (ONCE, "__base__"),
        ((*ONCE[3:], 1, 2, 3), "one"),
    ]
    with torch.inference_mode():
        expected = peft(
            input_ids=torch.tensor([tokens for tokens, _ in rows]),
            adapter_names=[name for _, name in rows],
            use_cache=False,
        ).logits[:, -1]
    runs = [
        [Run(tokens, "plain")] if name == "plain" else [Run(tokens)] if name == "__base__" else activated(tokens, name)
        for tokens, name in rows
    ]
    completions = engine.generate([Request(own, max_tokens=1, logprobs=260) for own in runs])
    for completion, logits in zip(completions, expected, strict=True):
        got = torch.tensor([completion.logprobs[0][token] for token in range(260)])
        assert (got - logits[:260].log_softmax(-1)).abs().max() < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("adapter", ["one", "wide"])
def test_padded_batch(engine: Engine, peft: PeftModel, adapter: str, side: str) -> None:
    """PEFT pads to one length, on either side; here sequences of all lengths are packed, and there is no padding."""
    rows = [CONTEXT, ONCE, TWICE, (*CONTEXT[:4], *INVOCATION)]
    longest = max(map(len, rows))
    pads = [(0,) * (longest - len(tokens)) for tokens in rows]
    padded = [(*pad, *own) if side == "left" else (*own, *pad) for own, pad in zip(rows, pads, strict=True)]
    ones = [(1,) * len(own) for own in rows]
    mask = [(*pad, *one) if side == "left" else (*one, *pad) for one, pad in zip(ones, pads, strict=True)]
    peft.set_adapter(adapter)
    with torch.inference_mode():
        logits = peft(input_ids=torch.tensor(padded), attention_mask=torch.tensor(mask), use_cache=False).logits
    completions = engine.generate([Request(activated(own, adapter), max_tokens=1, logprobs=260) for own in rows])
    for completion, own, row in zip(completions, rows, logits, strict=True):
        got = torch.tensor([completion.logprobs[0][token] for token in range(260)])
        expected = row[-1 if side == "left" else len(own) - 1]
        assert (got - expected[:260].log_softmax(-1)).abs().max() < 1e-4


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_architectures(architecture: str, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base", architecture)
    settings = {"target_modules": "all-linear", "alora_invocation_tokens": list(INVOCATION)}
    adapter = make_adapter(tmp_path / "adapter", base, r=3, **settings)
    model = AutoModelForCausalLM.from_pretrained(base)
    peft = PeftModel.from_pretrained(model, adapter, adapter_name="one").eval()
    with torch.inference_mode():
        expected = peft(input_ids=torch.tensor([TWICE]), use_cache=False).logits[0, -1]
    engine = Engine.load(base, {"one": adapter}, cache_tokens=256)
    engine.generate([Request([Run(CONTEXT[:20])], max_tokens=1)])
    assert_row(engine, activated(TWICE, "one"), expected)

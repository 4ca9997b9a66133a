"""Keys and values that leave the engine: transformers' own, in its order, however they came into the cache."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from alora_runtime import Engine, Request, Run
from alora_runtime.errors import RequestError
from tests.runtime.checkpoints import ARCHITECTURES, make_checkpoint

NEAR = 1e-4


def cached(folder: Path, tokens: list[int]) -> torch.Tensor:
    """`[layers, tokens, 2, kv_heads, dim]`, by one pass of transformers."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        cache = model(torch.tensor([tokens]), past_key_values=DynamicCache()).past_key_values  # of all tokens
    layers = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]
    return torch.stack(layers).permute(0, 3, 1, 2, 4)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("attention", ["fast", "reference"])
def test_kv_is_that_of_transformers(architecture: str, attention: str, tmp_path: Path, processor: str) -> None:
    folder = make_checkpoint(tmp_path / "model", architecture)
    engine = Engine.load(folder, cache_tokens=512, attention=attention, processor=processor)
    tokens = [random.Random(1).randrange(256) for _ in range(24)]
    engine.generate([Request([Run(tokens)], max_tokens=1), Request([Run([*tokens[:9], 7, 8])], max_tokens=1)])
    expected = cached(folder, tokens)
    assert (engine.kv([Run(tokens)]) - expected).abs().max() < NEAR
    assert (engine.kv([Run(tokens[:20])], start=6) - expected[:, 6:20]).abs().max() < NEAR


def test_a_copy(engine: Engine) -> None:
    """What a caller does to it changes no answer."""
    runs = [Run(list(range(30)))]
    engine.generate([Request(runs, max_tokens=1)])
    before = engine.kv(runs).clone()
    engine.kv(runs).zero_()
    assert torch.equal(engine.kv(runs), before)


def test_of_an_adapter(engine: Engine, make_engine: Callable[..., Engine]) -> None:
    runs = [Run(list(range(10))), Run([257, 40, 258], "one")]
    engine.generate([Request(runs, max_tokens=1)])
    base = [Run([*range(10), 257, 40, 258])]
    engine.generate([Request(base, max_tokens=1)])
    ours, plain = engine.kv(runs), engine.kv(base)
    assert torch.equal(ours[:, :10], plain[:, :10])
    assert not torch.allclose(ours[:, 10:], plain[:, 10:])


def test_what_the_cache_does_not_hold(engine: Engine) -> None:
    engine.generate([Request([Run([1, 2, 3])], max_tokens=1)])
    for runs, start, said in (
        ([Run([1, 2, 3, 4])], 0, "does not hold all of these 4 tokens"),
        ([Run([9])], 0, "does not hold"),
        ([Run([1, 2, 3])], 3, "start must be from 0 to 2"),
        ([Run([1, 2, 3], "nobody")], 0, "nobody"),
        ([Run([1, "x"])], 0, "token id 'x'"),
    ):
        with pytest.raises(RequestError, match=said):
            engine.kv(runs, start)

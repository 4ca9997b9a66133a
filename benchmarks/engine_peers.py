"""The reference flow as people run it today: PEFT per call, and PEFT with its cache carried by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, DynamicCache

Tokens = Sequence[int]
Stages = tuple[float, float]
"""Seconds up to the end of the base model's answer, and of the intrinsics after it."""


def load_hf(model: Path) -> Any:
    """The plain model with transformers' default attention."""
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()


def load_peft(model: Path, adapters: dict[str, Path]) -> PeftModel:
    """All adapters on one model."""
    first, *others = adapters
    peft = PeftModel.from_pretrained(load_hf(model), adapters[first], adapter_name=first)
    for name in others:
        peft.load_adapter(adapters[name], adapter_name=name)
    return peft.eval()


@torch.inference_mode()
def generate(model: Any, prompts: Sequence[Tokens], count: int) -> list[list[int]]:
    """`count` greedy tokens for each prompt of one length, by transformers' `generate`."""
    ids = torch.tensor([list(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    answers: list[list[int]] = output[:, ids.shape[1] :].tolist()
    return answers


@torch.inference_mode()
def by_hand(model: Any, cache: DynamicCache, fed: Tokens, count: int) -> list[int]:
    """`count` greedy tokens after a cache and `fed`, one forward pass each."""
    tokens, answer = torch.tensor([list(fed)]), []
    for _ in range(count):
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1].argmax(-1, keepdim=True)
        answer.append(int(tokens))
    return answer


def flow_per_call(peft: PeftModel, context: Tokens, written: int, calls: Sequence[tuple[str, Tokens]]) -> Stages:
    """Every call computes its whole prompt; intrinsics are activated LoRAs found by their invocation."""
    began = time.perf_counter()
    with peft.disable_adapter():
        answer = generate(peft.get_base_model(), [context], written)[0]
    middle = time.perf_counter()
    for adapter, invocation in calls:
        peft.set_adapter(adapter)
        generate(peft, [[*context, *answer, *invocation]], 4)
    return middle - began, time.perf_counter() - middle


def flow_by_hand(peft: PeftModel, context: Tokens, written: int, calls: Sequence[tuple[str, Tokens]]) -> Stages:
    """The base's cache goes on under each adapter and is cropped afterwards. The adapters are plain LoRAs, switched on
    for the new tokens only: the same sums as activated ones, without PEFT's search for the invocation."""
    model = peft.get_base_model()
    began = time.perf_counter()
    cache = DynamicCache()
    with peft.disable_adapter():
        answer = by_hand(model, cache, context, written)
        by_hand(model, cache, answer[-1:], 1)  # the last token is still the base's
    middle = time.perf_counter()
    for adapter, invocation in calls:
        peft.set_adapter(adapter)
        by_hand(model, cache, invocation, 4)
        cache.crop(-(len(invocation) + 3))
    return middle - began, time.perf_counter() - middle

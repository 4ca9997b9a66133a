"""Training activated LoRAs on frozen contexts: the base's keys and values are kept, and only what follows is run.

Nothing before the invocation has a gradient, and its keys and values never change: they are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alora_flow.training.data import Example, by_length, padded
from alora_flow.training.frozen import Prefix, follow, read, rounded, widened
from alora_flow.training.model import CausalModel

Trained = TypeVar("Trained", bound=nn.Module)


@dataclass(frozen=True)
class Course:
    """How an adapter is trained."""

    rank: int = 32
    alpha: int = 64
    rate: float = 3e-3
    cases: int = 3000
    epochs: int = 6
    batch: int = 64


@dataclass(frozen=True)
class LengthGroup:
    """Examples of similar length: prefix, `[rows, n]` tokens from the invocation on, and which of them are learnt."""

    prefix: Prefix
    suffix: Tensor
    learnt: Tensor
    members: list[int]


def fast_matrices() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware; elsewhere they are far slower than float32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def grouped(model: CausalModel, examples: Sequence[Example], size: int, small: bool) -> list[LengthGroup]:
    """Read all threads once; `small` keeps what was read in bf16, and reads in it where that is fast."""
    threads = [example.thread for example in examples]
    out = []
    for chunk in by_length(threads, size):
        suffix, lengths = padded([examples[i].invocation + examples[i].answer for i in chunk])
        begins = torch.tensor([len(examples[i].invocation) for i in chunk])
        places = torch.arange(1, suffix.shape[1])
        learnt = (places >= begins[:, None]) & (places < lengths[:, None])
        prefix = read(model, [threads[i] for i in chunk], half=small and fast_matrices())
        out.append(LengthGroup(rounded(prefix) if small else prefix, suffix, learnt, chunk))
    return out


def fit(model: CausalModel, adapter: nn.Module, groups: list[LengthGroup], course: Course, random: Random) -> float:
    """Train in place; the mean loss of the last epoch."""
    optimiser = torch.optim.AdamW(adapter.parameters(), course.rate, betas=(0.9, 0.98), weight_decay=0.01)
    total, step, losses = course.epochs * len(groups), 0, list[float]()
    for _ in range(course.epochs):
        losses.clear()
        for group in random.sample(groups, len(groups)):
            for settings in optimiser.param_groups:
                settings["lr"] = course.rate * min(1.0, (step + 1) / 20) * (1 - step / total)
            scores = follow(model, widened(group.prefix), group.suffix, adapter)[:, :-1]
            loss = F.cross_entropy(scores[group.learnt], group.suffix[:, 1:][group.learnt])
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            step += 1
    return sum(losses) / len(losses)


def train(
    model: CausalModel, adapter: Trained, examples: Sequence[Example], course: Course, seed: int
) -> tuple[Trained, float]:
    """The adapter, trained and rounded to what bf16 keeps, so that what is measured is what is shipped; its last loss.

    `seed` orders the batches; an adapter's first weights are the caller's.
    """
    loss = fit(model, adapter, grouped(model, examples, course.batch, small=True), course, Random(seed))
    with torch.no_grad():
        for p in adapter.parameters():
            p.copy_(p.to(torch.bfloat16))
    return adapter.requires_grad_(False), loss


@torch.no_grad()
def judge(
    model: CausalModel, examples: Sequence[Example], vocabulary: int, adapter: nn.Module | None
) -> tuple[list[bool], Tensor]:
    """Whether each greedy answer is exact, and the scores right after the invocation, `[examples, vocabulary]`."""
    right = [False] * len(examples)
    first = torch.zeros(len(examples), vocabulary)
    for group in grouped(model, examples, 64, small=False):
        scores = follow(model, group.prefix, group.suffix, adapter)
        good = ((scores[:, :-1].argmax(-1) == group.suffix[:, 1:]) | ~group.learnt).all(1)
        for row, i in enumerate(group.members):
            right[i], first[i] = bool(good[row]), scores[row, len(examples[i].invocation) - 1]
    return right, first

"""Prefix and suffix: the base reads a thread once, its keys and values are kept, and what follows attends to them.

For an activated LoRA this is exact, since nothing before the invocation token is adapted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alora_flow.training.data import by_length, padded
from alora_flow.training.model import Cache, CausalModel


@dataclass(frozen=True)
class Prefix:
    """Threads read by the base, padded on the right. `valid` is `[rows, length]`, `lengths` is `[rows]`."""

    cache: Cache
    lengths: Tensor
    valid: Tensor

    def mask(self, suffix: int) -> Tensor:
        """What `suffix` more tokens may see: `[rows, 1, suffix, length + suffix]`."""
        rows = self.valid.shape[0]
        before = self.valid[:, None, None].expand(rows, 1, suffix, -1)
        after = torch.ones(suffix, suffix, dtype=torch.bool).tril().expand(rows, 1, suffix, suffix)
        return torch.cat([before, after], 3)

    def positions(self, suffix: int) -> Tensor:
        """The positions of `suffix` more tokens, `[rows, suffix]`."""
        return self.lengths[:, None] + torch.arange(suffix)


@torch.no_grad()
def read(model: CausalModel, threads: Sequence[Sequence[int]], half: bool = False) -> Prefix:
    """Run the base over threads and keep keys and values; `half` multiplies in bf16."""
    ids, lengths = padded(threads)
    cache: Cache = []
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        model(ids, keep=cache)
    return Prefix(cache, lengths, torch.arange(ids.shape[1]) < lengths[:, None])


def rounded(prefix: Prefix) -> Prefix:
    """The prefix with keys and values in bf16, to hold thousands of them in memory."""
    cache = [(k.to(torch.bfloat16), v.to(torch.bfloat16)) for k, v in prefix.cache]
    return Prefix(cache, prefix.lengths, prefix.valid)


def widened(prefix: Prefix) -> Prefix:
    """The prefix in float32 again."""
    return Prefix([(k.float(), v.float()) for k, v in prefix.cache], prefix.lengths, prefix.valid)


def follow(model: CausalModel, prefix: Prefix, suffix: Tensor, adapter: nn.Module | None = None) -> Tensor:
    """Scores after each token of `suffix`, `[rows, suffix, vocabulary]`; the adapter is on for all of it."""
    n = suffix.shape[1]
    hidden = model(suffix, positions=prefix.positions(n), mask=prefix.mask(n), past=prefix.cache, adapter=adapter)
    return model.logits(hidden)


@torch.no_grad()
def greedy(
    model: CausalModel, threads: Sequence[Sequence[int]], start: int, end: int, limit: int = 32
) -> list[list[int]]:
    """The base's answers after the token `start`, without `end`. Threads are best of similar length."""
    prefix = read(model, threads)
    rows = len(threads)
    token = torch.full((rows, 1), start)
    done = torch.zeros(rows, dtype=torch.bool)
    out: list[list[int]] = [[] for _ in threads]
    cache, mask = prefix.cache, prefix.mask(1)
    for step in range(limit):
        grown: Cache = []
        positions = prefix.lengths[:, None] + step
        hidden = model(token, positions=positions, mask=mask, past=cache, keep=grown)
        cache, mask = grown, torch.cat([mask, torch.ones(rows, 1, 1, 1, dtype=torch.bool)], 3)
        token = model.logits(hidden)[:, -1:].argmax(-1)
        done |= token[:, 0] == end
        for i in (~done).nonzero()[:, 0].tolist():
            out[i].append(int(token[i, 0]))
        if bool(done.all()):
            break
    return out


def greedy_all(model: CausalModel, threads: Sequence[Sequence[int]], start: int, end: int) -> list[list[int]]:
    """`greedy` for any number of threads."""
    out: list[list[int]] = [[] for _ in threads]
    for chunk in by_length(threads, 96):
        for i, answer in zip(chunk, greedy(model, [threads[i] for i in chunk], start, end), strict=True):
            out[i] = answer
    return out

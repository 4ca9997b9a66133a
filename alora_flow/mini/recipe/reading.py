"""Prefix and suffix: the base reads a thread once, its keys and values are kept, and what follows attends to them.

For an activated LoRA this is exact, since nothing before the invocation token is adapted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alora_flow.mini.recipe.network import Adapter, Cache, Network


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
def read(network: Network, threads: Sequence[Sequence[int]]) -> Prefix:
    """Run the base over threads and keep keys and values."""
    ids, lengths = padded(threads)
    cache: Cache = []
    network(ids, keep=cache)
    return Prefix(cache, lengths, torch.arange(ids.shape[1]) < lengths[:, None])


def follow(network: Network, prefix: Prefix, suffix: Tensor, adapter: Adapter | None = None) -> Tensor:
    """Scores after each token of `suffix`, `[rows, suffix, vocabulary]`; the adapter is on for all of it."""
    n = suffix.shape[1]
    hidden = network(suffix, positions=prefix.positions(n), mask=prefix.mask(n), past=prefix.cache, adapter=adapter)
    return network.logits(hidden)


@torch.no_grad()
def greedy(
    network: Network, threads: Sequence[Sequence[int]], start: int, end: int, limit: int = 32
) -> list[list[int]]:
    """The base's answers after the token `start`, without `end`. Threads are best of similar length."""
    prefix = read(network, threads)
    rows = len(threads)
    token = torch.full((rows, 1), start)
    done = torch.zeros(rows, dtype=torch.bool)
    out: list[list[int]] = [[] for _ in threads]
    cache, mask = prefix.cache, prefix.mask(1)
    for step in range(limit):
        grown: Cache = []
        positions = prefix.lengths[:, None] + step
        hidden = network(token, positions=positions, mask=mask, past=cache, keep=grown)
        cache, mask = grown, torch.cat([mask, torch.ones(rows, 1, 1, 1, dtype=torch.bool)], 3)
        token = network.logits(hidden)[:, -1:].argmax(-1)
        done |= token[:, 0] == end
        for i in (~done).nonzero()[:, 0].tolist():
            out[i].append(int(token[i, 0]))
        if bool(done.all()):
            break
    return out


def greedy_all(network: Network, threads: Sequence[Sequence[int]], start: int, end: int) -> list[list[int]]:
    """`greedy` for any number of threads."""
    out: list[list[int]] = [[] for _ in threads]
    for chunk in by_length(threads, 96):
        for i, answer in zip(chunk, greedy(network, [threads[i] for i in chunk], start, end), strict=True):
            out[i] = answer
    return out


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids padded on the right with 0, and the rows' lengths."""
    lengths = torch.tensor([len(r) for r in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, lengths


def by_length(rows: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Indices in chunks of rows of similar length."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    return [order[k : k + size] for k in range(0, len(order), size)]

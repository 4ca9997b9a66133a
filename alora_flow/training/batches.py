"""Samples and their contexts as batches of tensors, and the order in which an epoch goes through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from alora_flow.training.contexts import Contexts, Past
from alora_flow.training.samples import TrainingSample

SORTED = 8
"""So many batches together have their rows sorted by length, so that little is padding."""

IGNORED = -100
"""A place where nothing is learnt, as torch's cross entropy has it."""


@dataclass(frozen=True)
class SampleBatch:
    """tokens: what is computed, `[rows, n]`; seen: which of them are no padding. kept: the places of which scores are
    wanted, `[m]`; wanted: the token that each should foretell, `[rows, m]`. past: the contexts before them, or None."""

    tokens: Tensor
    seen: Tensor
    kept: Tensor
    wanted: Tensor
    past: Past | None


class Material:
    """Samples that go on from contexts, number `first` on; or samples that stand for themselves."""

    def __init__(self, samples: Sequence[TrainingSample], contexts: Contexts | None = None, first: int = 0) -> None:
        self.samples, self.contexts, self.first = samples, contexts, first

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, rows: Sequence[int]) -> SampleBatch:
        """Some rows, with what is adapted ending at the same place, so that few scores are computed."""
        samples = [self.samples[row] for row in rows]
        before, after = max(len(one.adapted) for one in samples), max(len(one.answer) for one in samples) - 1
        tokens = torch.zeros(len(rows), before + after, dtype=torch.long)
        seen = torch.zeros_like(tokens, dtype=torch.bool)
        wanted = torch.full((len(rows), after + 1), IGNORED)
        for row, sample in enumerate(samples):
            start, end = before - len(sample.adapted), before + len(sample.answer) - 1
            tokens[row, start:end] = torch.tensor((*sample.adapted, *sample.answer[:-1]))
            seen[row, start:end] = True
            wanted[row, : len(sample.answer)] = torch.tensor(sample.answer)
        past = None if self.contexts is None else self.contexts.of([self.first + row for row in rows])
        return SampleBatch(tokens, seen, torch.arange(before - 1, before + after), wanted, past)

    def in_order(self, size: int) -> list[list[int]]:
        """All rows in batches, by length."""
        rows = sorted(range(len(self)), key=self._length)
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def shuffled(self, size: int, random: Random) -> list[list[int]]:
        """All rows in batches of neighbours in length, in an order of chance."""
        rows = random.sample(range(len(self)), len(self))
        batches: list[list[int]] = []
        for start in range(0, len(rows), size * SORTED):
            some = sorted(rows[start : start + size * SORTED], key=self._length)
            batches += [some[first : first + size] for first in range(0, len(some), size)]
        return random.sample(batches, len(batches))

    def _length(self, row: int) -> int:
        sample = self.samples[row]
        return len(sample.context) + len(sample.adapted) + len(sample.answer)

"""Running the network on samples: exact answers, greedy answers, and intervals for what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch

from alora_flow.mini.encoding import thread_ids
from alora_flow.mini.heldout import Sample
from alora_flow.mini.network import Network
from alora_flow.mini.vocabulary import Encoder

Pair = tuple[list[int], list[int]]


def interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    if not count:
        return 0.0, 1.0
    p = hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def answer_pairs(encoder: Encoder, samples: Sequence[Sample]) -> list[Pair]:
    """Prompt ids and answer ids, `<|end|>` included."""
    return [
        ([*thread_ids(encoder, s.turns), encoder.assistant], [*encoder.text(s.target), encoder.end]) for s in samples
    ]


@torch.no_grad()
def exact(network: Network, pairs: Sequence[Pair], size: int = 64) -> list[bool]:
    """Whether greedy decoding would write each answer: every token is the best one after the true ones before it."""
    out = [False] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    for chunk in (order[k : k + size] for k in range(0, len(order), size)):
        length = max(len(pairs[i][0]) + len(pairs[i][1]) for i in chunk)
        ids = torch.zeros(len(chunk), length, dtype=torch.long)
        for row, i in enumerate(chunk):
            both = pairs[i][0] + pairs[i][1]
            ids[row, : len(both)] = torch.tensor(both)
        best = network.logits(network(ids)).argmax(-1)
        for row, i in enumerate(chunk):
            start, end = len(pairs[i][0]), len(pairs[i][0]) + len(pairs[i][1])
            out[i] = bool((best[row, start - 1 : end - 1] == ids[row, start:end]).all())
    return out

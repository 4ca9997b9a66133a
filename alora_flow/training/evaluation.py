"""How good answers and probabilities are."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from alora_flow.training.intervals import Figures
from alora_flow.training.metrics import calibration_error, once
from alora_flow.training.model import CausalModel

Pair = tuple[list[int], list[int]]
"""A prompt and its answer."""


@torch.no_grad()
def exact(model: CausalModel, pairs: Sequence[Pair], size: int = 64) -> list[bool]:
    """Whether greedy decoding would write each answer: every token is the best one after the true ones before it."""
    out = [False] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    for chunk in (order[k : k + size] for k in range(0, len(order), size)):
        length = max(len(pairs[i][0]) + len(pairs[i][1]) for i in chunk)
        ids = torch.zeros(len(chunk), length, dtype=torch.long)
        for row, i in enumerate(chunk):
            both = pairs[i][0] + pairs[i][1]
            ids[row, : len(both)] = torch.tensor(both)
        best = model.logits(model(ids)).argmax(-1)
        for row, i in enumerate(chunk):
            start, end = len(pairs[i][0]), len(pairs[i][0]) + len(pairs[i][1])
            out[i] = bool((best[row, start - 1 : end - 1] == ids[row, start:end]).all())
    return out


def certainty_figures(sure: Tensor, right: Tensor) -> Figures:
    """Brier score against the best constant in hindsight, with the interval of their difference, and ECE."""
    own, constant = (sure - right) ** 2, (right.mean() - right) ** 2
    gain = constant - own
    half = 1.96 * float(gain.std()) / sqrt(len(right))
    return {
        "n": len(right),
        "brier": round(float(own.mean()), 4),
        "brier_constant": round(float(constant.mean()), 4),
        "gain_low": round(float(gain.mean()) - half, 4),
        "gain_high": round(float(gain.mean()) + half, 4),
        "ece": round(float(calibration_error(sure.numpy(), right.numpy(), once(len(right)))[0]), 4),
        "right": round(float(right.mean()), 4),
        "works": float(gain.mean()) - half > 0,
    }

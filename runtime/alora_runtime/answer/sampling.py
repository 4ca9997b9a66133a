"""From a row of logits to a token. Random numbers depend on seed and position alone, never on the rest of the batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from alora_runtime.requests import Request


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for the token at `position` of what a request generates."""
    digest = blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def sample(logits: Tensor, request: Request, position: int) -> int:
    """A token from `[vocabulary]` logits, by the request's temperature, top_k, top_p and min_p, in that order (as in
    transformers 5)."""
    if request.temperature == 0.0:
        return int(logits.argmax())
    scores, ids = (logits.double() / request.temperature).sort(descending=True, stable=True)
    if request.top_k:
        scores = scores[: request.top_k]
    weights = scores.softmax(-1)
    if request.top_p < 1.0:
        weights = weights[: 1 + int((weights.cumsum(-1) < request.top_p).sum())]
    if request.min_p > 0.0:
        weights = weights[weights >= request.min_p * weights[0]]
    reach = weights.cumsum(-1)
    return int(ids[min(int((reach <= uniform(request.seed, position) * reach[-1]).sum()), len(reach) - 1)])


def pick(weights: Sequence[float], temperature: float, seed: int, position: int) -> int:
    """One of a few options by log-weights: the heaviest when greedy (the first of equals)."""
    if temperature == 0.0:
        return max(range(len(weights)), key=lambda index: weights[index])
    top = max(weights)
    shares = [math.exp((weight - top) / temperature) for weight in weights]
    left = uniform(seed, position) * sum(shares)
    for index, share in enumerate(shares):
        left -= share
        if left < 0:
            return index
    return len(shares) - 1


def penalised(logits: Tensor, seen: Iterable[int], penalty: float) -> Tensor:
    """Logits of tokens already there, divided by the penalty where positive and multiplied where negative."""
    ids = torch.tensor(sorted(seen))
    values = logits[ids]
    return logits.index_copy(0, ids, torch.where(values > 0, values / penalty, values * penalty))


def top_logprobs(logprobs: Tensor, count: int, chosen: int) -> dict[int, float]:
    """The `count` most likely tokens of a `[vocabulary]` row, and the chosen one."""
    values, ids = logprobs.topk(min(count, len(logprobs)))
    result = dict(zip(ids.tolist(), values.tolist(), strict=True))
    return result | {chosen: float(logprobs[chosen])}

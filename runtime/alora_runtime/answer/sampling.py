"""From a row of logits to a token. Random numbers depend on seed, prompt and position alone, never on the rest of the
batch."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from alora_runtime.requests import KEY_BYTES, Request, Run


def key_of(seed: int, runs: Sequence[Run]) -> bytes:
    """What a request's random numbers are made from: another prompt draws others, however it is cut into runs."""
    digest = blake2b(str(seed).encode(), digest_size=KEY_BYTES)
    adapter: str | None = None
    for run in runs:
        if run.adapter != adapter:
            adapter = run.adapter
            digest.update(repr(adapter).encode())
        digest.update(array("q", run.tokens).tobytes())
    return digest.digest()


def uniform(key: bytes, position: int) -> float:
    """A number in [0, 1) for the token at `position` of what a request generates."""
    digest = blake2b(position.to_bytes(8), key=key, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def sample(logits: Tensor, request: Request, number: float) -> int:
    """A token from `[vocabulary]` logits, by the request's temperature, top_k, top_p and min_p, in that order (as in
    transformers 5). `number`: a random one from 0 to 1."""
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
    return int(ids[min(int((reach <= number * reach[-1]).sum()), len(reach) - 1)])


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

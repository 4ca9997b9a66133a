"""How good the base and its adapters are, by the recipe's own network: greedy answers, right to the letter or not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from alora_flow.mini.recipe.encoding import thread_ids
from alora_flow.mini.recipe.network import Adapter, Network
from alora_flow.mini.recipe.reading import by_length, follow, greedy_all, padded, read
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.calls import ASKS
from alora_flow.mini.world.heldout import Sample
from alora_flow.mini.world.tasks import Answers
from alora_flow.training.samples import TrainingSample

Pair = tuple[list[int], list[int]]
"""A prompt and its answer."""

AT_ONCE = 64
"""Prompts of similar length that are read together."""


def answer_pairs(encoder: Encoder, samples: Sequence[Sample]) -> list[Pair]:
    """Prompt ids and answer ids, `<|end|>` included."""
    return [
        ([*thread_ids(encoder, s.turns), encoder.assistant], [*encoder.text(s.target), encoder.end]) for s in samples
    ]


def own_answers(network: Network, encoder: Encoder) -> Answers:
    """A function that lets the base answer samples, up to where it calls."""

    def answers(samples: Sequence[Sample]) -> list[str]:
        threads = [thread_ids(encoder, s.turns) for s in samples]
        called = {encoder.role(name) for name in ASKS}
        answers = greedy_all(network, threads, encoder.assistant, encoder.end)
        return [encoder.decode(list(takewhile(lambda token: token not in called, answer))) for answer in answers]

    return answers


@torch.no_grad()
def exact(network: Network, pairs: Sequence[Pair]) -> list[bool]:
    """Whether greedy decoding would write each answer: every token is the best one after the true ones before it."""
    out = [False] * len(pairs)
    for chunk in by_length([prompt + answer for prompt, answer in pairs], AT_ONCE):
        ids, lengths = padded([[*pairs[i][0], *pairs[i][1]] for i in chunk])
        best = network.logits(network(ids)).argmax(-1)
        for row, i in enumerate(chunk):
            start, end = len(pairs[i][0]), int(lengths[row])
            out[i] = bool((best[row, start - 1 : end - 1] == ids[row, start:end]).all())
    return out


@torch.no_grad()
def judge(network: Network, samples: Sequence[TrainingSample], adapter: Adapter | None) -> tuple[list[bool], Tensor]:
    """Whether each greedy answer is exact, and the scores right after what is adapted, `[samples, vocabulary]`."""
    right = [False] * len(samples)
    first = torch.zeros(len(samples), network.shape.vocabulary)
    for chunk in by_length([sample.context for sample in samples], AT_ONCE):
        some = [samples[i] for i in chunk]
        suffix, lengths = padded([(*one.adapted, *one.answer) for one in some])
        scores = follow(network, read(network, [one.context for one in some]), suffix, adapter)
        best = scores.argmax(-1)
        for row, (i, one) in enumerate(zip(chunk, some, strict=True)):
            start, end = len(one.adapted), int(lengths[row])
            right[i] = bool((best[row, start - 1 : end - 1] == suffix[row, start:end]).all())
            first[i] = scores[row, start - 1]
    return right, first

"""The six adapters: cases of the closed world as examples for training and judging."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from alora_flow.mini.recipe.encoding import piece_ids, thread_ids
from alora_flow.mini.recipe.network import Adapter, Network
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.calls import ASKS, BEFORE, INVOCATIONS
from alora_flow.mini.world.heldout import Sample
from alora_flow.mini.world.tasks import Answers, Case
from alora_flow.training import loop
from alora_flow.training.data import Example
from alora_flow.training.frozen import greedy_all
from alora_flow.training.loop import Course


def own_answers(network: Network, encoder: Encoder) -> Answers:
    """A function that lets the base answer samples, up to where it calls."""

    def answers(samples: Sequence[Sample]) -> list[str]:
        threads = [thread_ids(encoder, s.turns) for s in samples]
        called = {encoder.role(name) for name in ASKS}
        answers = greedy_all(network, threads, encoder.assistant, encoder.end)
        return [encoder.decode(list(takewhile(lambda token: token not in called, answer))) for answer in answers]

    return answers


def context(encoder: Encoder, name: str, case: Case) -> list[int]:
    """What stands before the invocation. Inside a turn it follows the assistant's role, or an answer that is open."""
    ids = thread_ids(encoder, case.turns)
    if not case.inside:
        return ids
    return [*ids, encoder.assistant] if name == BEFORE else ids[:-1]


def examples(encoder: Encoder, name: str, cases: Sequence[Case]) -> list[Example]:
    """An intrinsic's cases as tokens: its role token invokes it."""
    return [
        Example(
            tuple(context(encoder, name, case)),
            (encoder.role(name), *piece_ids(encoder, case.called)),
            # A call is not the end: what follows it is another case.
            (*piece_ids(encoder, [case.answer]), *([] if case.answer in INVOCATIONS else [encoder.end])),
        )
        for case in cases
    ]


def train(
    network: Network, encoder: Encoder, name: str, cases: Sequence[Case], course: Course, seed: int
) -> tuple[Adapter, float]:
    """An adapter for one intrinsic, and its last loss."""
    torch.manual_seed(seed)
    adapter = Adapter(network.shape, course.rank, course.alpha)
    return loop.train(network, adapter, examples(encoder, name, cases), course, seed)


def judge(
    network: Network, encoder: Encoder, name: str, cases: Sequence[Case], adapter: Adapter | None
) -> tuple[list[bool], Tensor]:
    """Whether each greedy answer is exact, and the scores right after the invocation, `[cases, vocabulary]`."""
    return loop.judge(network, examples(encoder, name, cases), network.shape.vocabulary, adapter)

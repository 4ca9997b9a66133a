"""Training activated LoRAs: the base's keys and values are kept, only invocation and answer tokens are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from alora_flow.mini.base import fast_matrices
from alora_flow.mini.decoding import Prefix, by_length, follow, greedy_all, padded, read
from alora_flow.mini.encoding import thread_ids
from alora_flow.mini.heldout import Sample
from alora_flow.mini.network import Adapter, Network
from alora_flow.mini.tasks import Answers, Case
from alora_flow.mini.vocabulary import Encoder


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
class Group:
    """Cases of similar length: prefix, `[rows, n]` tokens from the invocation on, and which of them are learnt."""

    prefix: Prefix
    suffix: Tensor
    learnt: Tensor
    members: list[int]


def own_answers(network: Network, encoder: Encoder) -> Answers:
    """A function that lets the base answer samples."""

    def answers(samples: Sequence[Sample]) -> list[str]:
        threads = [thread_ids(encoder, s.turns) for s in samples]
        return [encoder.decode(i) for i in greedy_all(network, threads, encoder.assistant, encoder.end)]

    return answers


def rounded(prefix: Prefix) -> Prefix:
    """The prefix with keys and values in bf16, to hold thousands of them in memory."""
    cache = [(k.to(torch.bfloat16), v.to(torch.bfloat16)) for k, v in prefix.cache]
    return Prefix(cache, prefix.lengths, prefix.valid)


def widened(prefix: Prefix) -> Prefix:
    """The prefix in float32 again."""
    return Prefix([(k.float(), v.float()) for k, v in prefix.cache], prefix.lengths, prefix.valid)


def grouped(
    network: Network, encoder: Encoder, name: str, cases: Sequence[Case], size: int, small: bool
) -> list[Group]:
    """Read all threads once; `small` keeps what was read in bf16, and reads in it where that is fast."""
    threads = [thread_ids(encoder, c.turns) for c in cases]
    tails = [[encoder.role(name), *encoder.text(c.answer), encoder.end] for c in cases]
    out = []
    for chunk in by_length(threads, size):
        suffix, lengths = padded([tails[i] for i in chunk])
        learnt = torch.arange(suffix.shape[1] - 1) < lengths[:, None] - 1
        prefix = read(network, [threads[i] for i in chunk], half=small and fast_matrices())
        out.append(Group(rounded(prefix) if small else prefix, suffix, learnt, chunk))
    return out


def fit(network: Network, adapter: Adapter, groups: list[Group], course: Course, random: Random) -> float:
    """Train in place; the mean loss of the last epoch."""
    optimiser = torch.optim.AdamW(adapter.parameters(), course.rate, betas=(0.9, 0.98), weight_decay=0.01)
    total, step, losses = course.epochs * len(groups), 0, list[float]()
    for _ in range(course.epochs):
        losses.clear()
        for group in random.sample(groups, len(groups)):
            for settings in optimiser.param_groups:
                settings["lr"] = course.rate * min(1.0, (step + 1) / 20) * (1 - step / total)
            scores = follow(network, widened(group.prefix), group.suffix, adapter)[:, :-1]
            loss = F.cross_entropy(scores[group.learnt], group.suffix[:, 1:][group.learnt])
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            step += 1
    return sum(losses) / len(losses)


def round_to_shipped(adapter: Adapter) -> Adapter:
    """Keep what bf16 keeps, so that what is measured is what is shipped."""
    with torch.no_grad():
        for p in adapter.parameters():
            p.copy_(p.to(torch.bfloat16))
    return adapter.requires_grad_(False)


def train(
    network: Network, encoder: Encoder, name: str, cases: Sequence[Case], course: Course, seed: int
) -> tuple[Adapter, float]:
    """An adapter for one intrinsic, and its last loss."""
    torch.manual_seed(seed)
    adapter = Adapter(network.shape, course.rank, course.alpha)
    groups = grouped(network, encoder, name, cases, course.batch, small=True)
    loss = fit(network, adapter, groups, course, Random(seed))
    return round_to_shipped(adapter), loss


@torch.no_grad()
def judge(
    network: Network, encoder: Encoder, name: str, cases: Sequence[Case], adapter: Adapter | None
) -> tuple[list[bool], Tensor]:
    """Whether each greedy answer is exact, and the scores right after the invocation, `[cases, vocabulary]`."""
    right = [False] * len(cases)
    first = torch.zeros(len(cases), network.shape.vocabulary)
    for group in grouped(network, encoder, name, cases, 64, small=False):
        scores = follow(network, group.prefix, group.suffix, adapter)
        good = ((scores[:, :-1].argmax(-1) == group.suffix[:, 1:]) | ~group.learnt).all(1)
        for row, i in enumerate(group.members):
            right[i], first[i] = bool(good[row]), scores[row, 0]
    return right, first

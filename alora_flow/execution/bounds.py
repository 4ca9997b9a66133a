"""What a call is sure to find in a cache that is too full to know more: what its own run's calls left for it.

The engine evicts last what a run still goes on from, and a run begins no more calls than fit. So the tokens of an
earlier call on the same thread are there. Whether others are, such as a first word that two threads share by chance, is
not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from alora_flow.execution.events import Tokens
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Thread


@dataclass
class Crowd:
    """Of all runs. tails: what calls under way may still write. overfull: has anything been pushed out since the cache
    was empty; overcommitted: even what is gone on from may have been, since it was more than half of the cache at a
    time. broken_off: has a call been, which left what no ledger knows."""

    tails: int = 0
    overfull: bool = False
    overcommitted: bool = False
    broken_off: bool = False

    @property
    def unsure(self) -> bool:
        """Does the ledger know no more what the cache holds?"""
        return self.overfull or self.broken_off

    def look(self, ledger: Ledger, cache_tokens: int) -> None:
        """A call begins, which is in the ledger."""
        self.overfull |= ledger.size + self.tails > cache_tokens
        self.overcommitted |= ledger.held + self.tails > cache_tokens // 2

    def clear(self) -> None:
        """The cache was emptied, and no call is under way."""
        self.overfull = self.overcommitted = self.broken_off = False


class Left:
    """What the calls of one run left, by their threads."""

    def __init__(self) -> None:
        self._by_thread: dict[Thread, tuple[Prompt, tuple[int, ...]]] = {}

    def begun(self, call: PromptedCall) -> None:
        """A call's prompt is in the cache, or being computed."""
        for beginning in call.thread.beginnings():
            if beginning in self._by_thread:
                break
            self._by_thread[beginning] = call.prompt, ()

    def written(self, thread: Thread, call: PromptedCall, tokens: tuple[int, ...]) -> None:
        """A call's answer ends a thread; the last token's keys and values were never computed."""
        self._by_thread[thread] = call.prompt, tokens[:-1]

    def prediction(self, prompt: Prompt, thread: Thread) -> Tokens:
        """The most that a call on a thread prefills."""
        nearest = next((beginning for beginning in thread.beginnings() if beginning in self._by_thread), None)
        sure = min(_same(prompt, *self._by_thread[nearest]), len(prompt) - 1) if nearest else 0
        return Tokens(sure, len(prompt) - sure, at_most=True)


def _same(prompt: Prompt, other: Prompt, tokens: tuple[int, ...]) -> int:
    """How many first tokens the base model computed alike."""
    one, another = prompt.symbols[: _base(prompt)], (other.symbols + tokens)[: _base(other)]
    return next(
        (at for at, (a, b) in enumerate(zip(one, another, strict=False)) if a != b), min(len(one), len(another))
    )


def _base(prompt: Prompt) -> int | None:
    """How many of its tokens come before its adapter."""
    return prompt.active_from

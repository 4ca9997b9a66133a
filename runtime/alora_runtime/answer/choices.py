"""Answers of several tokens as a trie, scored in one pass and then walked. Integers and floats only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from alora_runtime.errors import RequestError

Pick = Callable[[Sequence[float], int], int]
"""Given log-weights of the options and the position, the index of the option taken."""


class ChoiceTrie:
    """The choices without their last tokens; each node is one row to compute.

    tokens[n], parents[n], depths[n]: token of node n, its parent (-1: the prompt) and how many nodes are above it.
    A choice may be the beginning of another one. Raises RequestError for no choice, an empty one, or two equal ones.
    """

    def __init__(self, choices: Sequence[Sequence[int]]) -> None:
        if not choices or not all(choices):
            raise RequestError("choices must be a non-empty list of non-empty token sequences")
        if len(set(map(tuple, choices))) < len(choices):
            raise RequestError("two choices are the same token sequence")
        self.choices = tuple(tuple(choice) for choice in choices)
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._nodes: dict[tuple[int, ...], int] = {(): -1}
        beginnings = self._beginnings()
        for choice in self.choices:
            for length in range(1, len(choice) + (choice in beginnings)):
                self._insert(choice[:length])

    def _beginnings(self) -> set[tuple[int, ...]]:
        """Choices that others go on from: their last row decides whether the answer ends there."""
        starts = {choice[:length] for choice in self.choices for length in range(1, len(choice))}
        return starts & set(self.choices)

    def _insert(self, prefix: tuple[int, ...]) -> None:
        if prefix not in self._nodes:
            self._nodes[prefix] = len(self.tokens)
            self.parents.append(self._nodes[prefix[:-1]])
            self.tokens.append(prefix[-1])
            self.depths.append(len(prefix) - 1)

    def ancestors(self, node: int) -> list[int]:
        """The nodes from the first down to `node`."""
        above = []
        while node >= 0:
            above.append(node)
            node = self.parents[node]
        return above[::-1]

    def node(self, prefix: Sequence[int]) -> int:
        """The node of a beginning; -1 for the prompt itself."""
        return self._nodes[tuple(prefix)]

    def log_probabilities(self, score: Callable[[int, int], float]) -> tuple[float, ...]:
        """Of each choice, where `score(node, token)` is the log-probability of `token` after `node`."""
        return tuple(
            sum(score(self.node(choice[:index]), token) for index, token in enumerate(choice))
            for choice in self.choices
        )

    def walk(self, score: Callable[[int, int], float], pick: Pick) -> int:
        """Token by token, only tokens that some choice goes on with. Ending where another choice goes on weighs
        what the distribution leaves to all other tokens."""
        prefix: tuple[int, ...] = ()
        while True:
            within = [choice for choice in self.choices if choice[: len(prefix)] == prefix]
            if within == [prefix]:
                return self.choices.index(prefix)
            options = sorted({choice[len(prefix)] for choice in within if len(choice) > len(prefix)})
            weights = [score(self.node(prefix), token) for token in options] if len(within) > 1 else [0.0]
            if prefix in within:
                rest = 1.0 - sum(math.exp(weight) for weight in weights)
                weights.append(math.log(max(rest, 1e-30)))
            taken = pick(weights, len(prefix))
            if taken == len(options):
                return self.choices.index(prefix)
            prefix += (options[taken],)

"""What a cache holds, call by call: a trie of integers and holes that follows the engine's rules (docs/architecture.md,
"What the cache holds") without asking the engine, so that a run can break what was planned on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from alora_flow.planning.prompts import Prompt
from alora_flow.prompts.contents import Symbol

Key: TypeAlias = tuple[Symbol, str | None]
"""A token (or hole) and the digest of the adapter that it is computed under."""


@dataclass
class _Trie:
    """`ends`: a call's prompt ended here, so the engine kept what it needs to answer from here again."""

    children: dict[Key, _Trie] = field(default_factory=dict)
    ends: bool = False


class Ledger:
    """What the cache holds, call by call."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The cache was emptied."""
        self._root = _Trie()
        self.size = 0  # keys held

    def prompt(self, keys: Sequence[Key]) -> int:
        """How many leading keys are there already; all of them are afterwards.

        A prompt that is there as a whole still costs its last token, unless a call's prompt ended just there before.
        """
        node, found = self._find(keys)
        if found == len(keys) and not node.ends:
            found -= 1
        self.add(keys).ends = True
        return found

    def known(self, keys: Sequence[Key]) -> int:
        """How many leading keys are there."""
        return self._find(keys)[1]

    def _find(self, keys: Sequence[Key]) -> tuple[_Trie, int]:
        """Where they end that are there, and how many those are."""
        node, found = self._root, 0
        while found < len(keys) and keys[found] in node.children:
            node = node.children[keys[found]]
            found += 1
        return node, found

    def add(self, keys: Iterable[Key]) -> _Trie:
        """Put a sequence into the cache."""
        node = self._root
        for key in keys:
            if key not in node.children:
                node.children[key] = _Trie()
                self.size += 1
            node = node.children[key]
        return node


def keys_of(prompt: Prompt) -> list[Key]:
    """The prompt as the cache's keys."""
    return list(zip(prompt.symbols, prompt.adapters(), strict=True))

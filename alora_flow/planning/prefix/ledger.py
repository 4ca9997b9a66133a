"""What a cache holds, call by call: a trie of integers and holes that follows the engine's rules (docs/architecture.md,
"What the cache holds") without asking the engine, so that a run can break what was planned on it.

It remembers where the writings end that it met, so that a call costs what it adds to one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from alora_flow.planning.prompts import Prompt
from alora_flow.prompts.thread import Symbol
from alora_flow.prompts.writing import Writing

Key: TypeAlias = tuple[Symbol, str | None]
"""A token (or hole) and the digest of the adapter that it is computed under."""


@dataclass
class Stem:
    """What begins with some keys. `ends`: a call's prompt ended here, so the engine kept what it takes to go on from here."""

    children: dict[Key, Stem] = field(default_factory=dict)
    ends: bool = False


class Entered(NamedTuple):
    """How many leading tokens of a prompt were there already, and where it ends."""

    found: int
    end: Stem


class Ledger:
    """What the cache holds, call by call."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The cache was emptied."""
        self._root = Stem()
        self._places: WeakKeyDictionary[Writing, dict[str | None, Stem]] = WeakKeyDictionary()
        self.size = 0  # keys held

    def enter(self, prompt: Prompt) -> Entered:
        """How much of a prompt is there already; all of it is afterwards.

        A prompt that is there as a whole still costs its last token, unless a call's prompt ended just there before.
        """
        end, found = self._follow(prompt)
        if found == len(prompt) and not end.ends:
            found -= 1
        end, _ = self._follow(prompt, add=True)
        end.ends = True
        return Entered(found, end)

    def known(self, prompt: Prompt) -> int:
        """How many leading tokens of a prompt are there."""
        return self._follow(prompt)[1]

    def add(self, place: Stem, keys: Iterable[Key]) -> None:
        """Put into the cache what follows a place."""
        for key in keys:
            place = self._child(place, key)

    def _child(self, place: Stem, key: Key) -> Stem:
        child = place.children.get(key)
        if child is None:
            child = place.children[key] = Stem()
            self.size += 1
        return child

    def _follow(self, prompt: Prompt, add: bool = False) -> tuple[Stem, int]:
        """Where what is there of a prompt ends, and how much that is; with `add`, all is."""
        place, found, ahead = self._start(prompt)
        for part in (*reversed(ahead), None):
            stop = len(prompt) if part is None else part.length
            for number, key in enumerate(_keys(prompt, found, stop, part), start=found):
                child = self._child(place, key) if add else place.children.get(key)
                if child is None:
                    return place, number
                place = child
            found = stop
            if part is not None:
                self._places.setdefault(part, {})[prompt.adapter_at(found - 1)] = place
        return place, found

    def _start(self, prompt: Prompt) -> tuple[Stem, int, list[Writing]]:
        """The longest beginning that was met before, and the writings behind it, last first, that one adapter computes
        as a whole."""
        ahead: list[Writing] = []
        label = prompt.adapter_at(0)
        for part in prompt.thread.parts():
            if part.length and prompt.adapter_at(part.length - 1) == label:
                place = self._places.get(part, {}).get(label)
                if place is not None:
                    return place, part.length, ahead
                ahead.append(part)
        return self._root, 0, ahead


def _keys(prompt: Prompt, start: int, stop: int, part: Writing | None) -> Iterator[Key]:
    """The keys of a part of a prompt; None: of all that is behind the writings."""
    symbols = prompt.since(start) if part is None else part.own
    assert len(symbols) == stop - start
    return ((symbol, prompt.adapter_at(place)) for place, symbol in enumerate(symbols, start=start))

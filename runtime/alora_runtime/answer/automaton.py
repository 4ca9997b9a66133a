"""Many sequences looked for at once in one that grows (Aho and Corasick, 1975). Integers only."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Automaton:
    """The sequences as states: 0 where nothing of any is written, else the longest beginning that has just been.

    onward[state]: symbol → state. back[state]: the state of the longest beginning that ends there too and is shorter.
    depths[state]: its symbols. whole[state]: the longest sequence that ends there, -1 for none.
    """

    def __init__(self, sequences: Sequence[Sequence[Hashable]]) -> None:
        self.lengths = tuple(map(len, sequences))
        self.onward: list[dict[Hashable, int]] = [{}]
        self.back, self.depths, self.whole = [0], [0], [-1]
        for index, sequence in enumerate(sequences):
            self._insert(index, sequence)
        waiting = deque(self.onward[0].values())
        while waiting:
            state = waiting.popleft()
            for symbol, child in self.onward[state].items():
                self.back[child] = self.step(self.back[state], symbol)
                if self.whole[child] < 0:
                    self.whole[child] = self.whole[self.back[child]]
                waiting.append(child)

    def _insert(self, index: int, sequence: Sequence[Hashable]) -> None:
        state = 0
        for depth, symbol in enumerate(sequence, 1):
            if symbol not in self.onward[state]:
                self.onward[state][symbol] = len(self.onward)
                self.onward.append({})
                self.back.append(0)
                self.depths.append(depth)
                self.whole.append(-1)
            state = self.onward[state][symbol]
        self.whole[state] = index

    def step(self, state: int, symbol: Hashable) -> int:
        """Where one more symbol leads."""
        onward = self.onward
        while state and symbol not in onward[state]:
            state = self.back[state]
        return onward[state].get(symbol, 0)


class Found(NamedTuple):
    """Sequence number `which` stands at positions `start` … `end - 1`."""

    which: int
    start: int
    end: int


class Search:
    """What one growing sequence has come to hold: of all that are looked for the one that begins first, and of those
    that begin there the longest. Positions begin at `length`, the symbols that there were before and that don't count.
    """

    def __init__(self, automaton: Automaton, length: int = 0) -> None:
        self.length = length
        self.found: Found | None = None
        self._automaton, self._state = automaton, 0

    def push(self, symbol: Hashable) -> bool:
        """One more symbol; whether what is found stays, since no better one can follow."""
        automaton, self.length = self._automaton, self.length + 1
        self._state = state = automaton.step(self._state, symbol)
        if state == 0 and self.found is None:  # mostly
            return False
        index = automaton.whole[state]
        if index >= 0:
            start = self.length - automaton.lengths[index]
            if self.found is None or start <= self.found.start:
                self.found = Found(index, start, self.length)
        if self.found is None:
            return False
        begun = self.length - automaton.depths[self._state]
        return begun > self.found.start or (begun == self.found.start and not automaton.onward[self._state])

    @property
    def clear(self) -> int:
        """So many symbols at the beginning belong to none, whatever follows."""
        begun = self.length - self._automaton.depths[self._state]
        return begun if self.found is None else min(begun, self.found.start)

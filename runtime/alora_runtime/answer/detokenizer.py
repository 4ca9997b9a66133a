"""The text of a growing answer, character by whole character, and where it has to stop. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]
"""Tokens to text, without special tokens."""

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What decoders put for bytes that are no character, or not yet one."""


class Detokenizer:
    """Text that never ends within a character and, once given out, never changes.

    text: the stable text. ends[i]: its length once token i is there. cut: where the first stop string begins.
    """

    def __init__(self, decode: Decode, stop_strings: Sequence[str] = ()) -> None:
        self.text = ""
        self.ends: list[int] = []
        self.cut: int | None = None
        self._decode, self._stops = decode, tuple(stop_strings)
        self._reach = max(map(len, self._stops), default=1)
        self._window: list[int] = []  # tokens whose text is looked at together: a character may need several
        self._known = 0  # their first tokens, whose text is stable; they stay so that decoders see what came before
        self._before = 0  # length of the stable text before the window
        self._tail = ""  # text of the window beyond the stable text

    def push(self, token: int) -> None:
        """One more token."""
        searched = max(0, len(self.text) - self._reach + 1)
        self._window.append(token)
        text = self._decode(self._window)
        fresh = text[len(self.text) - self._before :]
        stable = fresh.rstrip(UNFINISHED)
        self.text, self._tail = self.text + stable, fresh[len(stable) :]
        self.ends.append(len(self.text))
        if stable and not self._tail:
            self._window = self._window[self._known :]
            self._known = len(self._window)
            self._before = len(self.text) - len(self._decode(self._window))
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if found and self.cut is None:
            self.cut = min(found)

    @property
    def whole(self) -> str:
        """All text so far, with what is no character yet, up to the stop string."""
        return (self.text + self._tail)[: self.cut]

    @property
    def safe(self) -> int:
        """Length of the stable text that no later token can take back: not the possible beginning of a stop string."""
        if self.cut is not None:
            return self.cut
        for start in range(max(0, len(self.text) - self._reach + 1), len(self.text)):
            if any(stop.startswith(self.text[start:]) for stop in self._stops):
                return start
        return len(self.text)

    def tokens_of(self, length: int) -> int:
        """How many tokens the first `length` characters take: no fewer do."""
        return next((index + 1 for index, end in enumerate(self.ends) if end >= length), len(self.ends)) * (length > 0)

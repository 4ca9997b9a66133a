"""The text of a growing answer, character by whole character, and where it has to stop. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """Text that never ends within a character and, once given out, never changes; without special tokens.

    text: the stable text. ends[i]: its length once token i is there. cut: where the first stop string begins.
    """

    def __init__(self, tokenizer: Tokenizer, stop_strings: Sequence[str] = ()) -> None:
        self.text = ""
        self.ends: list[int] = []
        self.cut: int | None = None
        self._tokenizer, self._stops = tokenizer, tuple(stop_strings)
        self._reach = max(map(len, self._stops), default=1)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._tokens: list[int] = []

    def push(self, token: int) -> None:
        """One more token."""
        searched = max(0, len(self.text) - self._reach + 1)
        self._tokens.append(token)
        self.text += self._stream.step(self._tokenizer, token) or ""
        self.ends.append(len(self.text))
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if found and self.cut is None:
            self.cut = min(found)

    @property
    def whole(self) -> str:
        """All text so far, with bytes that are not a character yet, up to the stop string."""
        decoded: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        return decoded[: self.cut]

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

"""The text of a growing answer, character by whole character, and where it has to stop. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A token that is a byte, to tokenizers that spell what they don't know so."""


def whole_text(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of some tokens without special ones; it ends with `�` where it was cut within a character.

    A decoder with byte fallback would give up all characters beside such a cut.
    """
    cut = _cut_bytes(tokenizer, tokens)
    decoded: str = tokenizer.decode(list(tokens[: len(tokens) - cut]), skip_special_tokens=True)
    return decoded + "\ufffd" * bool(cut)


def _cut_bytes(tokenizer: Tokenizer, tokens: Sequence[int]) -> int:
    """How many tokens at the end are bytes of a character that is not whole."""
    run = bytearray()
    for token in reversed(tokens):
        found = BYTE.fullmatch(tokenizer.id_to_token(token) or "")
        if not found or len(run) == 3:
            break
        run.insert(0, int(found[1], 16))
    for count in range(1, len(run) + 1):
        lead = run[-count]
        if lead >= 0xC0:
            length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return count if count < length else 0
    return 0


class Detokenizer:
    """Text that never ends within a character and, once given out, never changes; without special tokens.

    text: the stable text. ends[i]: its length once tokens[i] is there. cut: where the first stop string begins.
    """

    def __init__(self, tokenizer: Tokenizer, stop_strings: Sequence[str] = (), tokens: Sequence[int] = ()) -> None:
        """`tokens`: those that are there already."""
        self.text = ""
        self.tokens: list[int] = []
        self.ends: list[int] = []
        self.cut: int | None = None
        self._tokenizer, self._stops = tokenizer, tuple(stop_strings)
        self._reach = max(map(len, self._stops), default=1)
        self._stream = DecodeStream(skip_special_tokens=True)
        for token in tokens:
            self.push(token)

    def of(self, tokens: Sequence[int]) -> Detokenizer:
        """The same for other tokens."""
        return Detokenizer(self._tokenizer, self._stops, tokens)

    def push(self, token: int) -> None:
        """One more token."""
        searched = max(0, len(self.text) - self._reach + 1)
        self.tokens.append(token)
        self.text += self._stream.step(self._tokenizer, token) or ""
        self.ends.append(len(self.text))
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if found and self.cut is None:
            self.cut = min(found)

    @property
    def whole(self) -> str:
        """All text so far, with a mark for bytes that are not a character yet, up to the stop string."""
        return whole_text(self._tokenizer, self.tokens)[: self.cut]

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

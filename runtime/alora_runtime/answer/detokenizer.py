"""The text of a growing answer, character by whole character, and where it has to stop. No torch."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import ParamSpec, Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from alora_runtime.errors import ModelError

P = ParamSpec("P")

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A token that is a byte, to tokenizers that spell what they don't know so."""

BAD = "\ufffd"
"""Stands for bytes that are no character."""


def whole_text(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of some tokens without special ones; it ends with `�` where it was cut within a character. Raises
    ModelError."""
    if _special(tokenizer) is None:
        return _told(tokenizer.decode, list(tokens), skip_special_tokens=True)
    pieces = _Pieces(tokenizer)
    every = [*(piece for token in tokens for piece in pieces.of(token)), *pieces.rest()]
    return _told(tokenizer.decoder.decode, every)


def _told(decode: Callable[P, str | None], *args: P.args, **kwargs: P.kwargs) -> str:
    """What a decoder gives. Raises ModelError where it fails: tokenizers has no types of its own for that, and what it
    raises of a panic is no Exception."""
    try:
        return decode(*args, **kwargs) or ""
    except BaseException as error:
        if type(error).__name__ not in ("Exception", "PanicException"):
            raise
        raise ModelError(
            f"the tokenizer's decoder fails: {error}", "look at `decoder` in the model folder's tokenizer.json"
        ) from error


@lru_cache(maxsize=8)
def _special(tokenizer: Tokenizer) -> frozenset[int] | None:
    """Its special tokens, where its decoder falls back to bytes; else None."""
    if tokenizer.decoder is None or b"ByteFallback" not in tokenizer.decoder.__getstate__():
        return None
    return frozenset(number for number, added in tokenizer.get_added_tokens_decoder().items() if added.special)


class _Stream(Protocol):
    def push(self, token: int) -> str:
        """What is certain of the text now, and was not before."""


class _Plain:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._stream = tokenizer, DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> str:
        return _told(self._stream.step, self._tokenizer, token)


class _Pieces:
    """Tokens as what a decoder with byte fallback is to see. It gives up all of a row of bytes, the characters in it
    too, where one is no part of a character: so it sees only that one as `�`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = _special(tokenizer) or frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def of(self, token: int) -> Iterator[str]:
        """Those that one more token makes certain."""
        text = None if token in self._special else self._tokenizer.id_to_token(token)
        if text is None:
            return
        if found := BYTE.fullmatch(text):
            yield from self._spelled(self._decoder.decode(bytes([int(found[1], 16)])))
        else:
            yield from self.rest()
            yield text

    def rest(self) -> Iterator[str]:
        """Those of the bytes that are no character yet."""
        yield from self._spelled(self._decoder.decode(b"", final=True))

    def _spelled(self, text: str) -> Iterator[str]:
        for sign in text:
            yield from [sign] if sign == BAD else [f"<0x{byte:02X}>" for byte in sign.encode()]


class _WithBytes:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._decode, self._pieces = tokenizer.decoder.decode, _Pieces(tokenizer)
        self._last: list[str] = []  # what the next piece is decoded behind

    def push(self, token: int) -> str:
        pieces = [*self._pieces.of(token)]
        if not pieces:
            return ""
        before = _told(self._decode, self._last) if self._last else ""
        text = _told(self._decode, [*self._last, *pieces])
        self._last = pieces
        return text[len(before) :]


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
        self._stream: _Stream = (_Plain if _special(tokenizer) is None else _WithBytes)(tokenizer)
        for token in tokens:
            self.push(token)

    def of(self, tokens: Sequence[int]) -> Detokenizer:
        """The same for other tokens."""
        return Detokenizer(self._tokenizer, self._stops, tokens)

    def push(self, token: int) -> None:
        """One more token."""
        searched = max(0, len(self.text) - self._reach + 1)
        self.tokens.append(token)
        self.text += self._stream.push(token)
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

"""Encodings that are kept for the next time, as many as fit into so many bytes."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

Encode = Callable[[str], tuple[int, ...]]
"""Text → token ids."""

TOKEN, ENTRY = 32, 100
"""Bytes of a token beside its place in the tuple, and of an entry of the dictionary."""


class EncodingMemory:
    """The same function with a memory of what was asked last. What alone takes more than `limit` bytes is not kept.
    Safe to call from several threads."""

    def __init__(self, encode: Encode, limit: int) -> None:
        self._encode, self._limit = encode, limit
        self._kept: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._lock = Lock()
        self.size = 0  # bytes

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, text: str) -> tuple[int, ...]:
        """The token ids of a text."""
        with self._lock:
            known = self._kept.get(text)
            if known is not None:
                self._kept.move_to_end(text)
                return known
        tokens = self._encode(text)
        with self._lock:
            if text not in self._kept and _bytes(text, tokens) <= self._limit:
                self._kept[text] = tokens
                self.size += _bytes(text, tokens)
            while self.size > self._limit:
                self.size -= _bytes(*self._kept.popitem(last=False))
        return tokens


def _bytes(text: str, tokens: tuple[int, ...]) -> int:
    return sys.getsizeof(text) + sys.getsizeof(tokens) + TOKEN * len(tokens) + ENTRY

"""Constraints in the middle of whose answers invocations may stand, which are no part of these. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from alora_runtime.requests import Matcher, MatcherSource


@dataclass(frozen=True)
class Interruptible:
    """What `inner` allows, and wherever that leaves a choice, an invocation: one of these token sequences. They are
    made of tokens that no answer has."""

    inner: MatcherSource
    invocations: tuple[tuple[int, ...], ...]

    def matcher(self, vocabulary: Any) -> Matcher:
        """Raises ConstraintError where `inner` does not compile."""
        return _Interrupted(self.inner.matcher(vocabulary), self.invocations)


class _Interrupted:
    """`begun`: what has been written of an invocation; the answer's own matcher knows nothing of it."""

    def __init__(self, inner: Matcher, invocations: Sequence[tuple[int, ...]]) -> None:
        self._inner, self._invocations = inner, invocations
        self._begun: tuple[int, ...] = ()

    def forced(self) -> list[int]:
        return [] if self._begun and not self._whole else self._inner.forced()

    def mask(self) -> bytes:
        if self._begun and not self._whole:
            return _with(b"", self._longer)
        first = {one[0] for one in self._invocations}
        return _with(self._inner.mask(), first | self._longer)

    def accept(self, token: int) -> None:
        if self._whole and token not in self._longer:
            self._begun = ()
        if token in self._longer:
            self._begun += (token,)
        else:
            self._inner.accept(token)

    @property
    def accepting(self) -> bool:
        return self._inner.accepting and (not self._begun or self._whole)

    @property
    def done(self) -> bool:
        return self._inner.done and (not self._begun or self._whole)

    @property
    def _whole(self) -> bool:
        return self._begun in self._invocations

    @property
    def _longer(self) -> set[int]:
        """What may go on with what was begun."""
        length = len(self._begun)
        return {one[length] for one in self._invocations if one[:length] == self._begun and len(one) > length}


def _with(mask: bytes, tokens: Iterable[int]) -> bytes:
    """A mask in which these tokens are allowed too."""
    bits = bytearray(mask)
    for token in tokens:
        bits.extend(bytes(max(0, token // 8 + 1 - len(bits))))
        bits[token // 8] |= 1 << token % 8
    return bytes(bits)

"""What a constraint of somebody's own says and raises, held against what it may: a token id that is none, or an
interrupt at every step, would keep all other requests from their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from alora_runtime.errors import ConstraintError, RequestError, shown
from alora_runtime.requests import Matcher
from alora_runtime.validation import integer, truth

T = TypeVar("T")


class MatcherInterrupt(Exception):
    """`raised`, which is no Exception, ends the matcher's request, and is raised again when the step is over."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


class CheckedMatcher:
    """The same matcher; raises ConstraintError where it gives what nobody can use. `vocabulary`: how many token ids
    there are. `ours`: what is no Exception comes from elsewhere, and has nothing to do with it."""

    def __init__(self, matcher: Matcher, vocabulary: int, ours: bool) -> None:
        self._matcher, self._vocabulary, self._ours = matcher, vocabulary, ours

    def forced(self) -> list[int]:
        tokens = self._asked(lambda: self._matcher.forced())
        found = tokens if self._ours else _integers(tokens)
        for token in found:
            if not 0 <= token < self._vocabulary:
                most = self._vocabulary - 1
                raise ConstraintError(f"a constraint forces token id {shown(token)}; the model's ids are 0 to {most}")
        return found

    def mask(self) -> bytes:
        mask = self._asked(lambda: self._matcher.mask())
        if not isinstance(mask, bytes | bytearray) or not mask:
            raise ConstraintError(f"a constraint's mask must be bytes, not {shown(mask)}")
        return mask

    def accept(self, token: int) -> None:
        self._asked(lambda: self._matcher.accept(token))

    @property
    def accepting(self) -> bool:
        accepting = self._asked(lambda: self._matcher.accepting)
        return accepting if self._ours else truth("accepting", accepting)

    @property
    def done(self) -> bool:
        done = self._asked(lambda: self._matcher.done)
        return done if self._ours else truth("done", done)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except BaseException as error:
            if self._ours or isinstance(error, Exception):
                raise
            raise MatcherInterrupt(error) from error


def _integers(tokens: Iterable[object]) -> list[int]:
    try:
        return [integer("a token", token) for token in tokens]
    except (TypeError, RequestError) as error:
        raise ConstraintError(f"a constraint must force a list of token ids, not {shown(tokens)}") from error

"""A thread as the tokens that a model reads, told by what each turn adds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, takewhile
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from alora_flow.frozen import dataclass
from alora_flow.prompts.contents import Symbol

if TYPE_CHECKING:  # a flow that calls no model has no template
    from alora_flow.prompts.masks import Mask
    from alora_flow.prompts.template import TurnShape

SeenTurns: TypeAlias = "tuple[tuple[TurnShape, ...], tuple[Mask, ...]]"
"""Turns as a template looks at them, and what it is shown of each of their texts."""


@dataclass(frozen=True, eq=False)
class Writing:
    """The symbols of what stands before, and its own. `length`: of all of them; `ends`: after how many of all symbols
    each turn of its own ends; `by_turn`: is each turn written as it is behind the first one alone? `layout`: what the
    template needs to know to end it, where that is known already."""

    before: Writing | None
    own: tuple[Symbol, ...]
    length: int
    ends: tuple[int, ...]
    by_turn: bool = False
    layout: SeenTurns | None = None

    def parts(self) -> Iterator[Writing]:
        """This writing, what stands before it, and so on."""
        part: Writing | None = self
        while part is not None:
            yield part
            part = part.before

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """All of them, first to last."""
        return _whole(self)

    @property
    def end(self) -> tuple[Symbol, ...]:
        """The last symbols, none where there are none at all."""
        return next((part.own for part in self.parts() if part.own), ())

    def since(self, start: int) -> tuple[Symbol, ...]:
        """The symbols from one on; costs what these are."""
        found: list[tuple[Symbol, ...]] = []
        for part in self.parts():
            if part.length <= start:
                break
            found.append(part.own[max(0, start - (part.length - len(part.own))) :])
        return tuple(chain.from_iterable(reversed(found)))


NOTHING = Writing(None, (), 0, ())


_LAST: dict[Writing, tuple[Symbol, ...]] = {}
"""The last few that were asked for: calls side by side read the same thread, and the next ones go on from it."""
_AT_MOST = 8
_LOCK = Lock()


def _whole(writing: Writing) -> tuple[Symbol, ...]:
    with _LOCK:
        new = list(takewhile(lambda part: part not in _LAST, writing.parts()))
        before = new[-1].before if new else writing
        whole = (_LAST[before] if before else ()) + tuple(chain.from_iterable(part.own for part in reversed(new)))
        _LAST.pop(writing, None)
        while len(_LAST) >= _AT_MOST:
            del _LAST[next(iter(_LAST))]
        _LAST[writing] = whole
    return whole

"""A thread as the tokens that a model reads, told by what each turn adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from alora_flow.prompts.contents import Symbol


@dataclass(frozen=True, eq=False)
class Writing:
    """The symbols of what stands before, and its own. `length`: of all of them; `ends`: after how many of all symbols
    each turn of its own ends; `by_turn`: is each turn written as it is behind the first one alone?"""

    before: Writing | None
    own: tuple[Symbol, ...]
    length: int
    ends: tuple[int, ...]
    by_turn: bool = False

    def parts(self) -> Iterator[Writing]:
        """This writing, what stands before it, and so on."""
        part: Writing | None = self
        while part is not None:
            yield part
            part = part.before

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """All of them, first to last."""
        return _joined(self)

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


@lru_cache(maxsize=16)
def _joined(writing: Writing) -> tuple[Symbol, ...]:
    """Of the last few that were asked for, since calls side by side read the same thread."""
    return writing.since(0)

"""What runs need of a cache that is too full for all: it stays as long as it fits, and so a call is sure to find it.

Calls under way need their prompts and what they may still write; later calls go on from what earlier ones left. The
backend evicts that last (`Backend.let_go` ends it), so that none of it goes as long as all of it fits. Where it does
not, what the youngest calls left is given up first. Whether anything else is still there is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from alora_flow.backends.base import Backend
from alora_flow.execution.events import Tokens
from alora_flow.planning.prefix.ledger import Entered, Ledger, Stem


@dataclass(eq=False, slots=True)
class Hold:
    """Of one call: all up to the `end` of its prompt, and once it is done of what it wrote, is needed. `tail`: what it
    may write; `age`: when its run began, and the number of the call in it."""

    end: Stem
    tail: int
    age: tuple[float, int]


class Crowd:
    """Of all runs. tails: what calls under way may still write. overfull: has anything been pushed out since the cache
    was empty; overcommitted: even of what calls under way need; broken_off: has a call been, which left what no ledger
    knows."""

    def __init__(self, backend: Backend, ledger: Ledger) -> None:
        self.backend, self.ledger = backend, ledger
        self.tails = 0
        self.clear()

    def clear(self) -> None:
        """The cache was emptied, and no call is under way."""
        self.overfull = self.overcommitted = self.broken_off = False
        self._resting: set[Hold] = set()  # of calls that are done

    @property
    def needed(self) -> int:
        """Tokens of the cache, each once."""
        return self.ledger.held + self.tails

    def found(self, entered: Entered) -> Tokens:
        """What a call finds: all that the ledger knows where nothing was pushed out, else what is needed already."""
        found, end = entered
        if self.overfull or self.broken_off:
            sure = self.ledger.needed_until(end) if self.backend.abilities.retains else 0
            return Tokens(sure, end.length - sure, at_most=self.broken_off or sure < found)
        return Tokens(found, end.length - found)

    def begin(self, hold: Hold) -> None:
        """A call begins, which is in the ledger."""
        self.ledger.hold(hold.end)
        hold.end.rests = True
        self.tails += hold.tail
        self.overfull |= self.ledger.size + self.tails > self.backend.cache_tokens
        self._fit()

    def end(self, hold: Hold, end: Stem | None, ticket: int) -> None:
        """A call is over, and has left all up to an end; None where that is not known, and is not needed."""
        before, hold.end = hold.end, end or hold.end
        self.tails -= hold.tail
        if end is None:
            before.rests = False
            self.ledger.let_go[ticket] = 0
        else:
            self.ledger.hold(end)
            self.ledger.retained(end, ticket)
            self._resting.add(hold)
        self.ledger.release(before)
        self._fit()

    def let_go(self, hold: Hold) -> None:
        """Nobody goes on from what a call left; one of which nothing is held any more is left."""
        if hold in self._resting:
            self._resting.remove(hold)
            self.ledger.release(hold.end)

    def shorten(self, hold: Hold, tokens: int) -> None:
        """Of what a call left, only the first so many tokens are needed."""
        if hold in self._resting:
            before = hold.end
            while hold.end.length > tokens and hold.end.before is not None:
                hold.end = hold.end.before
            self.ledger.hold(hold.end)
            self.ledger.release(before)

    def rests(self, hold: Hold) -> bool:
        """Is anything held of what a call left?"""
        return hold in self._resting

    def _fit(self) -> None:
        """Give up what the youngest calls left, until the cache holds what is needed."""
        if self.needed <= self.backend.cache_tokens:
            return
        for last in sorted(self._resting, key=lambda resting: resting.age, reverse=True):
            self.let_go(last)
            if self.needed <= self.backend.cache_tokens:
                return
        self.overcommitted = self.overfull = True

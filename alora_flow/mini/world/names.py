"""Invented names and years of the closed world, and which of them training never sees."""

from __future__ import annotations

import random
import zlib
from itertools import product

FIRST_YEAR, LAST_YEAR = 1500, 1899
WOMEN = (
    *("Anna", "Bella", "Clara", "Dora", "Ella", "Freya", "Greta", "Hanna"),
    *("Ida", "Julia", "Kira", "Lena", "Maria", "Nora", "Olga", "Petra"),
)
MEN = (
    *("Adam", "Boris", "Carl", "David", "Emil", "Felix", "Georg", "Hugo"),
    *("Ivan", "Jonas", "Karl", "Leo", "Mark", "Nils", "Oscar", "Paul"),
)
# Names of the documents in flows/kb; held out whatever their hash.
DEMO = frozenset(
    {
        *("Tarnok", "Belvis", "Morlun", "Dorgat", "Kelmar", "Vosrik", "Nimtor", "Zelbon", "Galdun", "Sivrok"),
        *("Hartel", "Rusden", "Fendor", "Lorkin", "Pelgar", "Bartus", "Jalrik", "Dinsol", "Kursem", "Gortal"),
    }
)


def _syllables(seed: int, count: int, wanted: set[str]) -> tuple[str, ...]:
    """`count` three-letter syllables, the `wanted` among them."""
    every = sorted({"".join(s) for s in product("bdfghjklmnprstvz", "aeiou", "lmnrskdt")} - wanted)
    return tuple(sorted([*random.Random(seed).sample(every, count - len(wanted)), *wanted]))


# A name is a first and a second syllable, each one token, so that copying a name is copying two tokens.
FIRST = tuple(s.capitalize() for s in _syllables(1, 110, {name[:3].lower() for name in DEMO}))
SECOND = _syllables(2, 110, {name[3:] for name in DEMO})


def held_out(name: str) -> bool:
    """Whether training never sees this name: one in ten by hash, and those of the demo."""
    return name in DEMO or zlib.crc32(name.encode()) % 10 == 0


class Names:
    """A seeded source of names for one split, `train` or `test`.

    Between two calls of `reset` every syllable, first name and year is given out once, so that copying is unambiguous.
    """

    def __init__(self, seed: int, split: str) -> None:
        self.random = random.Random(seed)
        self.test = split == "test"
        self.reset()

    def reset(self) -> None:
        """Start a chat: everything may be used again."""
        self.used: set[str] = set()

    def fresh(self, options: tuple[str, ...]) -> str:
        """One of `options` that this chat has not used yet."""
        assert not self.used.issuperset(options), "names ran out: call reset at the start of each chat"
        while True:
            one = self.random.choice(options)
            if one not in self.used:
                return one

    def name(self) -> str:
        """A name such as `Tarnok`."""
        while True:
            first, second = self.fresh(FIRST), self.fresh(SECOND)
            if held_out(first + second) == self.test:
                self.used |= {first, second}
                return first + second

    def person(self) -> tuple[str, str]:
        """A full name and its pronoun."""
        woman = self.random.random() < 0.5
        options = WOMEN if woman else MEN
        given = self.random.choice(options) if self.used.issuperset(options) else self.fresh(options)
        self.used.add(given)
        return f"{given} {self.name()}", "she" if woman else "he"

    def year(self) -> str:
        """A year as text."""
        while (year := str(self.random.randint(FIRST_YEAR, LAST_YEAR))) in self.used:
            pass
        self.used.add(year)
        return year

"""What turns hold: text, generated tokens, documents, and what is not known yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias, overload

from alora_flow.frozen import dataclass


@dataclass(frozen=True)
class KnownText:
    """Known text. `control`: written in the flow file, so it may spell control tokens; otherwise it is data."""

    text: str
    control: bool = False


@dataclass(frozen=True)
class Hole:
    """Content that is not known yet. `source` identifies it; two equal holes will hold equal tokens."""

    source: str
    at_most: int | None = None

    def __hash__(self) -> int:
        return hash(self.source)


@dataclass(frozen=True)
class Generated:
    """Tokens that the model wrote, kept as they are; the stop token is left out. `text` is their text."""

    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Passages:
    """Documents, each a title (which may be empty) and a text. They are data."""

    items: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """A numbered line each, without titles: the content of a turn whose role is `documents`."""
        return "\n".join(f"[{number}] {text}" for number, (_, text) in enumerate(self.items, start=1))

    @property
    def titled(self) -> str:
        """A numbered paragraph each, its title in the first line: the content of a user's turn."""
        numbered = enumerate(self.items, start=1)
        return "\n\n".join(f"[{number}] {title}{title and chr(10)}{text}" for number, (title, text) in numbered)


Content: TypeAlias = KnownText | Hole | Generated | Passages


@dataclass(frozen=True)
class RequestedCall:
    """A call that an assistant's turn asks for. `arguments`: a JSON object as text. Name and id are plain words."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Turn:
    """One chat turn; an unknown number of turns (a chat parameter before its value is known) has the role ''.

    calls: of tools, that an assistant asks for; call_id, name: of the call that a tool's result answers; thoughts: an
    assistant's, where they are told beside what it said. They are data.
    """

    role: str
    content: tuple[Content, ...]
    calls: tuple[RequestedCall, ...] = ()
    call_id: str = ""
    name: str = ""
    thoughts: str = ""

    def __hash__(self) -> int:
        return hash((self.role, self.content))


class Thread(Sequence[Turn]):
    """Turns in order: those of the thread `before`, and a `last` one.

    What goes on from a thread holds it, so nothing that was found out about it is found out again. `notes`: what others
    keep of it, each under itself.
    """

    __slots__ = ("_hash", "_length", "before", "first", "last", "notes")

    def __init__(self, before: Thread, last: Turn) -> None:
        self.before, self.last = before, last
        self.first: Turn = before.first if before else last
        self._length: int = before._length + 1
        self._hash: int = hash((before._hash, last))
        self.notes: dict[object, Any] = {}

    @staticmethod
    def of(turns: Iterable[Turn]) -> Thread:
        """Some turns as a thread; a thread is one already."""
        return turns if isinstance(turns, Thread) else EMPTY.then(*turns)

    def then(self, *turns: Turn) -> Thread:
        """The thread that goes on from this one."""
        thread = self
        for turn in turns:
            thread = Thread(thread, turn) if thread._length else _first(turn)
        return thread

    def beginnings(self) -> Iterator[Thread]:
        """The thread itself, the one before it, and so on; not the empty one."""
        thread = self
        while thread._length:
            yield thread
            thread = thread.before

    def __iter__(self) -> Iterator[Turn]:
        return reversed([thread.last for thread in self.beginnings()])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> Turn: ...

    @overload
    def __getitem__(self, place: slice) -> Thread: ...

    def __getitem__(self, place: int | slice) -> Turn | Thread:
        if isinstance(place, slice):
            start, stop, step = place.indices(self._length)
            if (start, step) == (0, 1):
                return next(islice(self.beginnings(), self._length - stop, None), EMPTY)
            return Thread.of(tuple(self)[place])
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Thread) or (self._length, self._hash) != (other._length, other._hash):
            return NotImplemented if not isinstance(other, Thread) else False
        for one, another in zip(self.beginnings(), other.beginnings(), strict=True):
            if one is another:
                return True
            if one.last != another.last:
                return False
        return True

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Thread.of({tuple(self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Thread.of, (tuple(self),)


class _Empty(Thread):
    """The thread of no turns, which has no last one."""

    __slots__ = ()

    def __init__(self) -> None:
        self._length, self._hash, self.notes = 0, 0, {}


EMPTY = _Empty()


@lru_cache(maxsize=16)
def _first(turn: Turn) -> Thread:
    """A thread of one turn, which many often have in common: a system's, say."""
    return Thread(EMPTY, turn)


Symbol: TypeAlias = int | Hole
"""A token id, or a hole that stands for some tokens."""

"""What turns hold: text, generated tokens, documents, and what is not known yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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

    calls: of tools, that an assistant asks for; call_id, name: of the call that a tool's result answers.
    """

    role: str
    content: tuple[Content, ...]
    calls: tuple[RequestedCall, ...] = ()
    call_id: str = ""
    name: str = ""


Thread: TypeAlias = tuple[Turn, ...]

Symbol: TypeAlias = int | Hole
"""A token id, or a hole that stands for some tokens."""

"""A thread: an immutable sequence of chat turns, whose content may hold what is not known yet.

The planner and the runtime build threads by the same code: before a run some content is a `Hole`, afterwards it is
`Text` or `Generated`. So a planned prefix is the run's prefix by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.tokens import Tokenizer


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


Content: TypeAlias = KnownText | Hole | Generated


@dataclass(frozen=True)
class Turn:
    """One chat turn; an unknown number of turns (a chat parameter before its value is known) has the role ''."""

    role: str
    content: tuple[Content, ...]


Thread: TypeAlias = tuple[Turn, ...]

Symbol: TypeAlias = int | Hole
"""A token id, or a hole that stands for some tokens."""


class Prompter:
    """Threads to tokens for one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template

    def thread_symbols(self, thread: Thread) -> tuple[Symbol, ...]:
        """The closed turns of a thread, each piece tokenised on its own."""
        frames = iter(self.template.frames(_roles(thread)))
        return tuple(symbol for turn in thread for symbol in self._turn_symbols(turn, frames))

    def turn_ends(self, thread: Thread) -> list[int]:
        """After how many of its symbols each turn of the thread ends."""
        frames = iter(self.template.frames(_roles(thread)))
        return list(accumulate(sum(1 for _ in self._turn_symbols(turn, frames)) for turn in thread))

    def _turn_symbols(self, turn: Turn, frames: Iterator[tuple[str, str]]) -> Iterator[Symbol]:
        if not turn.role:
            yield from self._content_symbols(turn)
            return
        before, after = next(frames)
        yield from self.tokenizer.encode_control(before)
        yield from self._content_symbols(turn)
        yield from self.tokenizer.encode_control(after)

    def _content_symbols(self, turn: Turn) -> Iterator[Symbol]:
        for content in turn.content:
            match content:
                case KnownText(text, control=True):
                    yield from self.tokenizer.encode_control(text)
                case KnownText(text):
                    yield from self.tokenizer.encode_data(text)
                case Generated(tokens):
                    yield from tokens
                case Hole():
                    yield content

    def generation_tokens(self, thread: Thread) -> tuple[int, ...]:
        """The tokens that open the assistant's turn after a thread."""
        return self.tokenizer.encode_control(self.template.generation_prompt(_roles(thread)))


def _roles(thread: Thread) -> tuple[str, ...]:
    return tuple(turn.role for turn in thread if turn.role)

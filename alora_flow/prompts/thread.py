"""A thread: an immutable sequence of chat turns, whose content may hold what is not known yet.

The planner and the runtime build threads by the same code: before a run some content is a `Hole`, afterwards it is
`Text` or `Generated`. So a planned prefix is the run's prefix by construction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import NamedTuple

from alora_flow.errors import BadModel
from alora_flow.frozen import dataclass
from alora_flow.prompts.contents import (
    Content,
    Generated,
    Hole,
    KnownText,
    Passages,
    RequestedCall,
    Symbol,
    Thread,
    Turn,
)
from alora_flow.prompts.masks import (
    PLAIN,
    Mask,
    WrittenPart,
    closing,
    cuts_thoughts,
    escaped,
    framed,
    masking,
    opening,
    spans,
)
from alora_flow.prompts.messages import Messages, Messenger, Text, is_plain, shapes, text_of
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.tokens import Position, Tokenizer
from alora_flow.prompts.writing import NOTHING, SeenTurns, Writing

__all__ = [
    "Content",
    "Generated",
    "Hole",
    "KnownText",
    "Passages",
    "Prompter",
    "RequestedCall",
    "Symbol",
    "Thread",
    "Turn",
]

UNKNOWN = "\ue003"
"""Stands for a hole in a text that a template looks at."""


class _Content(NamedTuple):
    """A piece of a text with its place in it, and the place of its turn in the thread."""

    turn: int
    content: Content
    start: int
    end: int


@dataclass(frozen=True)
class _MaskedText:
    """`ends`: where the text's parts end; `literals`: what data in it shows to the template."""

    contents: tuple[_Content, ...]
    mask: Mask
    ends: tuple[int, ...]
    literals: frozenset[str]


class Prompter:
    """Threads to tokens for one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._messenger = Messenger(template, tokenizer.control)
        self._shown = masking(template.looks_for)
        self._framed = lru_cache(maxsize=256)(lambda *layout: framed(template, *layout))
        self._cuts = lru_cache(maxsize=256)(lambda *place: cuts_thoughts(template, *place))
        self._closing = lru_cache(maxsize=256)(lambda *layout: closing(template, *layout))
        self._framing = lru_cache(maxsize=256)(self._frame)
        self._alone = lru_cache(maxsize=64)(self._first_alone)
        self._masked = lru_cache(maxsize=256)(self._mask)
        self._opening = lru_cache(maxsize=256)(lambda *layout: opening(template, *layout))

    def notes(self, thread: Thread) -> tuple[str, ...]:
        """What a thread says and the template has no form for, and how it is said instead."""
        return self._messenger.notes(thread)

    def rewriting(self, thread: Thread, answered: bool) -> str | None:
        """How the template makes what goes on from this thread, or from its beginnings, compute some of it again, and,
        where it is `answered`, some of the answer; None where it does not."""
        if not self.writing(thread).by_turn:
            messages = self._messenger.messages(thread)
            if found := self.template.rewriting(shapes(messages)) or self._cut(messages):
                return found
        turns, masks = self._layout(thread)
        plain = all(mask == PLAIN for mask in masks)
        opens = answered and plain and not self.template.keeps_opening(turns)
        return "opens an answer in another way than it keeps it" if opens else None

    @cached_property
    def turn_end(self) -> int | None:
        """The control token with which the template ends an assistant's turn, or what follows it; None where it is
        none."""
        said = Thread.of(Turn(role, (Hole(role),)) for role in ("user", "assistant", "user"))
        for thread in (said.before, said):
            try:
                turns = shapes(self._messenger.messages(thread))
                frames = self.template.frames(turns)
                closed = self._closing(turns, (PLAIN, PLAIN)) if thread is said.before else frames[2].before
            except BadModel:
                continue
            tokens = self.tokenizer.encode_control((frames[1].after + closed).strip())
            if tokens and self.tokenizer.is_control(tokens[0]):
                return tokens[0]
        return None

    def thread_symbols(self, turns: Sequence[Turn]) -> tuple[Symbol, ...]:
        """The closed turns of a thread, each piece tokenised on its own."""
        return self.writing(turns).symbols

    def turn_ends(self, turns: Sequence[Turn]) -> list[int]:
        """After how many of its symbols each turn of the thread ends."""
        parts = [*self.writing(turns).parts()]
        return [end for part in reversed(parts) for end in part.ends]

    def ends_of(self, thread: Thread, turns: Sequence[int]) -> list[int]:
        """After how many of its symbols some turns of a thread end, by their ascending numbers from 1; costs the
        distance from the last turn."""
        ends: list[int] = []
        asked, after = list(turns), len(thread)
        for part in self.writing(thread).parts():
            start = after - len(part.ends)
            while asked and asked[-1] > start:
                ends.append(part.ends[asked.pop() - start - 1])
            after = start
            if not asked:
                break
        return ends[::-1]

    def piece_symbols(self, piece: Content, before: Sequence[Symbol]) -> tuple[Symbol, ...]:
        """A piece of text that stands in no turn, behind these symbols."""
        return self._symbols(piece, before)

    def generation_tokens(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """The tokens that open the assistant's turn after a thread."""
        return self._behind(Thread.of(turns), self._opened)

    def closing_tokens(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """What the template writes behind the closed turns where no answer follows; mostly nothing."""
        return self._behind(Thread.of(turns), self._closed)

    def writing(self, turns: Sequence[Turn]) -> Writing:
        """The closed turns of a thread. Where the template writes turn by turn, it costs what was not asked before."""
        thread = Thread.of(turns)
        if self not in thread.notes:
            new = list(takewhile(lambda beginning: self not in beginning.notes, thread.beginnings()))
            for beginning in reversed(new):
                before = beginning.before.notes.get(self)
                if beginning is thread or (before.by_turn if before else self.template.by_turn):
                    beginning.notes[self] = self._extended(beginning, before)
        written: Writing = thread.notes.get(self, NOTHING)
        return written

    # ---------------------------------------------------------------- symbols

    def _behind(self, thread: Thread, find: Callable[[Thread], tuple[int, ...]]) -> tuple[int, ...]:
        """What is written behind a thread, which remembers it: calls side by side ask for the same."""
        notes, key = thread.notes if thread else {}, (self, find.__name__)
        if key not in notes:
            notes[key] = find(thread)
        found: tuple[int, ...] = notes[key]
        return found

    def _opened(self, thread: Thread) -> tuple[int, ...]:
        return self._written_behind(thread, self._opening(*self._layout(thread)))

    def _closed(self, thread: Thread) -> tuple[int, ...]:
        return self._written_behind(thread, self._closing(*self._layout(thread)))

    def _written_behind(self, thread: Thread, text: str) -> tuple[int, ...]:
        end = self.writing(thread).end
        left = self.tokenizer.left(text, end[-1]) if end else text
        return self.tokenizer.encode(left, self._place(end), control=True)

    def _extended(self, thread: Thread, before: Writing | None = None) -> Writing:
        """What the turns before are, if they stay what they are, and what the last one adds."""
        added = self._added(thread) if before and before.by_turn else None
        if before and added is not None:
            contents, layout = added
            own: list[Symbol] = []
            for content in contents:
                own += self._symbols(content, own or before.end)
            length = before.length + len(own)
            return Writing(before, tuple(own), length, (length,), True, layout)
        symbols, ends = self._written(thread)
        if before and symbols[: before.length] == before.symbols and ends[:-1] == self.turn_ends(thread.before):
            return Writing(before, symbols[before.length :], len(symbols), (len(symbols),))
        alone = len(thread) == 1 and self.template.by_turn and bool(thread.last.role)
        by_turn = alone and self._messenger.as_said(thread) is not None
        return Writing(None, symbols, len(symbols), tuple(ends), by_turn)

    def _added(self, thread: Thread) -> tuple[list[Content], SeenTurns | None] | None:
        """What the last turn adds, and the layout; None where this can't be said without looking at all turns before
        it."""
        first, last = thread.first, thread.last
        if not last.role:
            return [content for content in last.content if isinstance(content, Hole)], None
        if is_plain(first) and is_plain(last):
            before, text = self._masked(text_of(0, first.content)), self._mask(text_of(1, last.content))
            frame = self._framing(first.role, before.mask, last.role, text.mask)
            if frame is not None:
                parts, layout = frame
                return [content for part in parts for content in self._filled(part, text)], layout
        return self._added_behind(first, last)

    def _frame(
        self, first: str, before: Mask, role: str, mask: Mask
    ) -> tuple[list[WrittenPart | KnownText], SeenTurns] | None:
        """What the template writes of a turn that it sees so, behind a first one that it sees so; None where it writes
        that one otherwise then, or what it sees may be a control token."""
        added = self._added_behind(Turn(first, _stand_in(before)), Turn(role, _stand_in(mask)))
        if added is None or added[1] is None or not self.tokenizer.control.isdisjoint((*before, *mask)):
            return None
        layout = added[1]
        if layout[1] != (before, mask):
            return None
        parts = (part for part in self._framed(*layout) if part.slot == 1 and (part.kept or part.text))
        return [part if part.kept else KnownText(part.text, control=True) for part in parts], layout

    def _added_behind(self, first: Turn, last: Turn) -> tuple[list[Content], SeenTurns | None] | None:
        """As `_added`, by what the template makes of the two turns."""
        try:
            messages = self._messenger.as_said(Thread.of((first, last)))
            pieces = [] if messages is None else list(self._pieces(messages))
        except BadModel:  # it is told of the whole thread
            return None
        before = tuple([content for turn, content in pieces if turn == 0])
        if not messages or not before or before != self._alone(first):
            return None
        return [content for turn, content in pieces if turn == 1], self._laid_out(messages)

    def _first_alone(self, turn: Turn) -> tuple[Content, ...]:
        return tuple(content for _, content in self._pieces(self._messenger.messages(Thread.of((turn,)))))

    def _layout(self, thread: Thread) -> SeenTurns:
        """What the template needs to know to end a thread: mostly its first turn and its last one; where no turn is
        known, one of a user."""
        writing = self.writing(thread)
        if writing.layout is not None:
            return writing.layout
        messages = self._messenger.messages(_ends(thread) if writing.by_turn else thread)
        return self._laid_out(messages or self._messenger.messages(Thread.of((Turn("user", (Hole("user"),)),))))

    def _laid_out(self, messages: Messages) -> SeenTurns:
        return shapes(messages), tuple([self._masked(text).mask for message in messages for text in message.texts])

    def _written(self, thread: Thread) -> tuple[tuple[Symbol, ...], list[int]]:
        """Symbols, and where each turn ends: before the first symbol of a later one."""
        messages = self._messenger.messages(thread)
        symbols: list[Symbol] = []
        ends: list[int] = []
        turns = tuple(thread)
        for turn, content in (*self._pieces(messages), (len(thread), KnownText(""))):
            while len(ends) < turn:
                unknown = turns[len(ends)]
                symbols += (hole for hole in unknown.content if isinstance(hole, Hole) and not unknown.role)
                ends.append(len(symbols))
            symbols += self._symbols(content, symbols)
        return tuple(symbols), ends

    def _pieces(self, messages: Messages) -> Iterator[tuple[int, Content]]:
        """All that is written, in order, with the turn that it belongs to."""
        texts = [self._masked(text) for message in messages for text in message.texts]
        turns = [message.turn for message in messages for _ in message.texts]
        literals = frozenset[str]().union(*(text.literals for text in texts)) & self.tokenizer.control
        for part in self._framed(shapes(messages), tuple([text.mask for text in texts])):
            contents = texts[part.slot].contents
            turn = contents[-1 if part.closing else 0].turn if contents else turns[part.slot]
            if part.kept:
                yield from self._kept(texts[part.slot], part)
            elif part.text and (part.certain or not literals):
                yield turn, KnownText(part.text, control=True)
            elif part.text:  # it may hold what data spell: that is no control token
                for text in re.split(f"({'|'.join(map(re.escape, literals))})", part.text):
                    yield turn, KnownText(text, control=text not in literals)

    def _cut(self, messages: Messages) -> str | None:
        """An answer whose thoughts a template cuts can't stay where it was written, nor can what follows it."""
        texts = (
            [text for message in messages for text in message.texts] if "</think>" in self.template.looks_for else ()
        )
        for slot, text in enumerate(texts[:-1]):
            answer = any(isinstance(content, Generated) or _answer(content) for _, content in text)
            if answer and self._cuts(shapes(messages), slot):
                return "cuts the thoughts of earlier answers"
        return None

    def _filled(self, part: WrittenPart | KnownText, text: _MaskedText) -> Iterable[Content]:
        """What stands for a part of a frame."""
        return (part,) if isinstance(part, KnownText) else [content for _, content in self._kept(text, part)]

    def _kept(self, text: _MaskedText, part: WrittenPart) -> Iterator[tuple[int, Content]]:
        start, end = (text.ends[number - 1] if number else 0 for number in (part.first, part.last))
        for turn, content, first, last in text.contents:
            low, high = max(start, first) - first, min(end, last) - first
            if low < high and not isinstance(content, Hole):
                yield turn, self._part(content, low, high, part.escapes)
            elif low < high:
                yield turn, content

    def _part(self, content: Content, low: int, high: int, escapes: int) -> Content:
        """What stands from one character of a piece to another."""
        text = self._text(content)
        if not escapes and high - low == len(text):
            return content
        if isinstance(content, KnownText):
            return KnownText(escaped(text[low:high], escapes), content.control)
        assert isinstance(content, Generated)
        if not escapes:
            tokens = self.tokenizer.some(content.tokens, text, low, high)
            if tokens is not None:
                return Generated(tokens, text[low:high])
        return KnownText(escaped(text[low:high], escapes))

    def _symbols(self, content: Content, before: Sequence[Symbol]) -> tuple[Symbol, ...]:
        match content:
            case KnownText(text, control):
                text = self.tokenizer.left(text, before[-1]) if before else text
                return self.tokenizer.encode(text, self._place(before), control)
            case Generated(tokens):
                return tokens
        assert isinstance(content, Hole)
        return (content,)

    def _place(self, symbols: Sequence[Symbol]) -> Position:
        """Where in a text the next piece stands."""
        last = symbols[-1] if symbols else None
        if last is None:
            return Position.FIRST
        return Position.SECTION if isinstance(last, int) and self.tokenizer.is_control(last) else Position.INSIDE

    # ---------------------------------------------------------------- texts

    def _mask(self, text: Text) -> _MaskedText:
        contents, whole = [], ""
        for turn, content in text:
            known = KnownText(content.text) if isinstance(content, Passages) else content
            said = self._text(known)
            contents.append(_Content(turn, known, len(whole), len(whole) + len(said)))
            whole += said
        mask: list[str | None] = []
        ends: list[int] = []
        for start, end, shown in spans(whole, self._shown):
            mask.append(whole[start:end] if shown else None)
            ends.append(end)
        data = [c for c in contents if isinstance(c.content, KnownText) and not c.content.control]
        literals = {part for part, end in zip(mask, ends, strict=True) if part and any(c.start < end for c in data)}
        return _MaskedText(tuple(contents), tuple(mask), tuple(ends), frozenset(literals))

    def _text(self, content: Content) -> str:
        """The text of a piece as a template sees it."""
        if isinstance(content, Hole):
            return UNKNOWN
        return self.tokenizer.spell(content.tokens) if isinstance(content, Generated) else content.text


def _ends(thread: Thread) -> Thread:
    """Its first turn and its last one."""
    return thread if len(thread) <= 2 else Thread.of((thread.first, thread.last))


def _stand_in(mask: Mask) -> tuple[Content, ...]:
    """A text that a template sees so."""
    return tuple(Hole(f"part {n}") if part is None else KnownText(part) for n, part in enumerate(mask))


def _answer(content: Content) -> bool:
    """Is it a hole for what a model will have written?"""
    return isinstance(content, Hole) and content.at_most is not None

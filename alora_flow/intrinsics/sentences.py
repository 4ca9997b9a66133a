"""Where a text's sentences begin and end, and a thread with their numbers in it.

Published intrinsics were trained on sentences as an untrained Punkt finds them (nltk's PunktSentenceTokenizer()), which
knows no abbreviations; the tests hold `spans` against what it gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from alora_flow.frozen import dataclass
from alora_flow.prompts.contents import Content, Generated, Hole, KnownText, Passages, Thread, Turn

LOCATIONS = ("last_message", "documents", "all_but_last_message")
"""Where sentences may be numbered: messages are turns that hold no documents."""

END = re.compile(r"""(?<![.?!])[.?!]++["')\]}‘’“”«»]*\s+(?=\S)""")
"""Where a sentence may end."""

INITIAL, NUMBER, ELLIPSIS = re.compile(r"[^\W\d]\."), re.compile(r"-?[.,]?\d[\d,.-]*\."), re.compile(r"\.\.+")
ENDS_TOO = re.compile(r"""[.?!][)"'\]};:*@({\[‘’“”«»]""")
"""In the word that follows: an end of its own. Punkt then sees one before it as well."""

LONGEST = 64
"""Characters of a word that are looked at."""

NO_WORD = re.compile(r'[()"{}\[\];:*@?!]')
"""A word's last part stands behind one of these."""


@dataclass(frozen=True)
class Sentence:
    """A numbered sentence: its text with the white space behind it, and where that is in the text that holds it.

    document_id: the document's number from 1 on, as text; message_index: the message's number from 0 on.
    """

    begin: int
    end: int
    text: str
    document_id: str | None = None
    message_index: int | None = None


Marks = Mapping[str, str]
"""Location → the letters of its tags: `<c0> `, `<c1> ` …"""


def spans(text: str) -> list[tuple[int, int]]:
    """The sentences of a text, from the first character of each to the first of the next."""
    starts = [0]
    for found in END.finditer(text):
        if _ends(text, found):
            starts.append(found.end())
    return list(zip(starts, [*starts[1:], len(text)], strict=True)) if text.strip() else []


def _ends(text: str, found: re.Match[str]) -> bool:
    """Initials, numbers and ellipses end a sentence only before some words."""
    said = found[0].rstrip()
    end = found.start() + len(said.rstrip("\"')]}‘’“”«»"))
    if text[end - 1 : end] != ".":
        return True
    word = text[max(0, end - LONGEST) : end].rsplit(None, 1)[-1]
    word = NO_WORD.split(word)[-1].lstrip("`&#-,") or word
    following = text[found.end()] if end == found.start() + len(said) else ""
    if ENDS_TOO.search(text[found.end() : found.end() + LONGEST].split(None, 1)[0]):
        return True
    if ELLIPSIS.search(word[-2:]):
        return False
    if INITIAL.fullmatch(word):
        return not following.isalpha()
    return not (NUMBER.fullmatch(word) and following.islower())


def numbered(thread: Thread, marks: Marks) -> tuple[Thread, Mapping[str, Mapping[int, Sentence]]]:
    """The thread with a tag before each sentence of the locations in `marks`, and the sentences by location and number.

    Documents and earlier messages are numbered on, the last message has numbers of its own. What is not known yet
    becomes a hole of its own: nothing that stands there then is what the conversation's cache holds.
    """
    numbering, turns = _Numbering(marks), list(thread)
    messages = [place for place, turn in enumerate(turns) if turn.role not in ("documents", "")]
    documents = [place for place, turn in enumerate(turns) if turn.role == "documents"]
    for location, places in (("documents", documents), ("all_but_last_message", messages[:-1])):
        for index, place in enumerate(places):
            turns[place] = numbering.marked(turns[place], location, index)
    last = _Numbering(marks)
    for place in messages[-1:]:
        turns[place] = last.marked(turns[place], "last_message", len(messages) - 1)
    return Thread.of(turns), {**numbering.found, **last.found}


class _Numbering:
    """Counts sentences on from turn to turn."""

    def __init__(self, marks: Marks) -> None:
        self.marks, self.found, self.next, self.documents = marks, dict[str, dict[int, Sentence]](), 0, 0

    def marked(self, turn: Turn, location: str, index: int) -> Turn:
        if location not in self.marks:
            return turn
        if any(isinstance(content, Hole) for content in turn.content):
            return replace(turn, content=tuple(_open(content, self.marks[location]) for content in turn.content))
        if location == "documents":
            return replace(turn, content=tuple(self._passages(content) for content in turn.content))
        pieces = [_piece(content) for content in turn.content]
        return replace(turn, content=tuple(self._tagged(pieces, location, message_index=index)))

    def _passages(self, content: Content) -> Content:
        items = content.items if isinstance(content, Passages) else (("", _piece(content).text),)
        made = []
        for title, text in items:
            self.documents += 1
            tagged = self._tagged([KnownText(text)], "documents", document_id=str(self.documents))
            made.append((title, "".join(piece.text for piece in tagged)))
        return Passages(tuple(made))

    def _tagged(self, pieces: Sequence[KnownText], location: str, **where: Any) -> Iterable[KnownText]:
        """The pieces of one text with tags in them; a tag stands in the piece that its sentence begins in, and single
        spaces between sentences."""
        whole = "".join(piece.text for piece in pieces)
        tags: dict[int, str] = {}
        for begin, end in spans(whole):
            tags[begin] = f"<{self.marks[location]}{self.next}> "
            self.found.setdefault(location, {})[self.next] = Sentence(begin, end, whole[begin:end], **where)
            self.next += 1
        return _inserted(pieces, tags)


def _inserted(pieces: Sequence[KnownText], tags: Mapping[int, str]) -> Iterable[KnownText]:
    start = 0
    for piece in pieces:
        end = start + len(piece.text)
        cuts = [start, *(at for at in sorted(tags) if start < at < end), end]
        parts = [f"{tags.get(at, '')}{piece.text[at - start : to - start]}" for at, to in pairwise(cuts)]
        yield replace(piece, text="".join(parts))
        start = end


def _open(content: Content, tag: str) -> Content:
    """A piece of a turn that is not all known: how many tags it gets is not known either."""
    return Hole(f"{content.source} with <{tag}…>") if isinstance(content, Hole) else content


def _piece(content: Content) -> KnownText:
    """Known content as text; what a model wrote, and documents, are data."""
    match content:
        case KnownText():
            return content
        case Generated(text=text) | Passages(text=text):
            return KnownText(text)
    raise AssertionError("a hole has no text")

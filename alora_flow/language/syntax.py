"""A syntax error in people's words: what was expected, what stands there, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lark.exceptions import UnexpectedInput

from alora_flow.language.brackets import innermost_open
from alora_flow.language.diagnostics import Diagnostic, Note, did_you_mean, one_of
from alora_flow.language.scan import TOKEN
from alora_flow.language.source import Source, Span
from alora_flow.language.words import (
    CONTINUATIONS,
    DECLARATIONS,
    FOREIGN,
    GROUPS,
    MEMBERS,
    PUNCTUATION,
    RESERVED,
    STATEMENTS,
    TERMINALS,
)

CLOSING = {"{": "}", "(": ")", "[": "]"}
MOST_NAMED = 4


@dataclass(frozen=True)
class Problem:
    """`faulty` is the offset of the wrong word, `closer` the bracket that is missing before it.

    `complete` when what stood before the word could have ended there: then the fault begins with the word itself.
    """

    diagnostic: Diagnostic
    faulty: int
    complete: bool
    closer: str | None = None


@dataclass(frozen=True)
class _Place:
    """The wrong word: its text (empty at the end of the file) and span, and what could have stood there."""

    text: str
    span: Span
    accepted: frozenset[str]

    @property
    def at_end(self) -> bool:
        return not self.text


def explain(error: UnexpectedInput, source: Source, text: str, base: int = 0) -> Problem:
    """`text` is what was parsed, `base` its place in `source`."""
    place = _place(error, source, text, base)
    closer = _missing_closer(place, text, base)
    if closer is not None:
        opened, bracket = closer
        note = Note(f"the '{bracket}' that is still open", source.span(opened + base, opened + base + 1))
        message = f"expected '{CLOSING[bracket]}' before {_found(place)}"
        return Problem(
            Diagnostic("E0103", message, place.span, notes=(note,)), _offset(place, base), False, CLOSING[bracket]
        )
    complete = bool(place.accepted & {"LET", "FLOW"})
    return Problem(_diagnostic(place), _offset(place, base), complete)


def expected_words(accepted: Iterable[str]) -> list[str]:
    """Names of terminals in people's words, groups first."""
    left = set(accepted)
    words = []
    for group, needed in GROUPS.items():
        if needed <= left:
            words.append(group)
            left -= MEMBERS[group] | needed
    if left - CONTINUATIONS or words:
        left -= CONTINUATIONS
    named = sorted({TERMINALS.get(name) or f"'{PUNCTUATION.get(name, name.lower())}'" for name in left})
    return words + named


def _offset(place: _Place, base: int) -> int:
    return place.span.start - base


def _place(error: UnexpectedInput, source: Source, text: str, base: int) -> _Place:
    accepted = frozenset(error.interactive_parser.accepts())  # type: ignore[no-untyped-call]
    offset = error.pos_in_stream
    at_end = getattr(getattr(error, "token", None), "type", "") == "$END"
    if at_end or offset is None:
        end = len(text.rstrip())
        return _Place("", source.span(base + max(end - 1, 0), base + max(end, 0)), accepted)
    match = TOKEN.match(text, offset)
    found = match.group() if match else text[offset]
    return _Place(found, source.span(base + offset, base + offset + len(found)), accepted)


def _found(place: _Place) -> str:
    if place.at_end:
        return "the end"
    if place.text.startswith('"'):
        return "a string"
    return f"'{place.text}'" if place.text.isprintable() else f"U+{ord(place.text[0]):04X}"


def _missing_closer(place: _Place, text: str, base: int) -> tuple[int, str] | None:
    """The bracket that should have been closed before the end, or before a new declaration."""
    if not place.at_end and place.text not in DECLARATIONS:
        return None
    opened = innermost_open(text, len(text) if place.at_end else _offset(place, base))
    if opened is None:
        return None
    closer = {value: name for name, value in PUNCTUATION.items()}[CLOSING[opened[1]]]
    return opened if closer in place.accepted else None


def _diagnostic(place: _Place) -> Diagnostic:
    if place.text.startswith('"') and not _closed(place.text):
        help = "close it with '\"' on the same line, or write a text of several lines between '\"\"\"'"
        return Diagnostic("E0102", "this string is not closed", place.span, help)
    if place.text in CLOSING.values() and not place.accepted & {"RPAR", "RBRACE", "RSQB"}:
        return Diagnostic("E0103", f"'{place.text}' closes nothing", place.span)
    if place.text and not (place.text[0].isalnum() or place.text[0] in '_"{}()[]=<>+-*/%.,:?|'):
        return Diagnostic("E0104", f"{_found(place)} has no meaning here", place.span, _help(place))
    words = expected_words(place.accepted)
    wanted = one_of(words[:MOST_NAMED]) if words else "nothing more"
    return Diagnostic("E0101", f"expected {wanted}, found {_found(place)}", place.span, _help(place))


def _closed(text: str) -> bool:
    return (len(text) > 1 and text.endswith('"') and not text.endswith('\\"')) or text.startswith('"""')


def _help(place: _Place) -> str | None:
    """A suggestion comes from what the grammar would have accepted here, or from the table of foreign words."""
    word = place.text
    if word in RESERVED and place.accepted & {"NAME"} and not place.accepted & {"INT", "LET"}:
        return f"'{word}' is a word of the language and cannot be a name"
    if word == "=" and "COMPARE" in place.accepted:
        return "compare with '=='; a name is bound with 'let'"
    if word[:1].isalpha() and word not in RESERVED:
        keywords = [name.lower() for name in place.accepted if name not in TERMINALS and name not in PUNCTUATION]
        near = did_you_mean(word, keywords)
        if near:
            return near
    if word in FOREIGN:
        return FOREIGN[word]
    if place.accepted & {"LET"} and word[:1].isalpha():
        return f"every statement begins with a word such as {one_of([repr(name) for name in STATEMENTS[:5]])}"
    return None

"""A syntax error in people's words: what was expected, what stands there, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lark.exceptions import UnexpectedInput

from alora_flow.frozen import dataclass
from alora_flow.language.report.diagnostics import Diagnostic, Note, did_you_mean, one_of
from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax.brackets import OPENING, open_at
from alora_flow.language.syntax.idioms import idiom
from alora_flow.language.syntax.scan import TOKEN, scan
from alora_flow.language.syntax.words import (
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
CLOSERS = {"{": "RBRACE", "(": "RPAR", "[": "RSQB"}
QUOTES = {"'": "a single quote", "`": "a backquote"}
KNOWN_CHARACTERS = '_"{}()[]=<>+-*/%.,:?|'
MOST_NAMED = 4
IN_BRACES = ("record ", "enum ", "intrinsic ")
BEFORE = re.compile(r"(\w+)\s*\Z")
NEXT_DECLARATION = re.compile(rf"^(?=(?:{'|'.join(DECLARATIONS)})\b)", re.MULTILINE)
ASSIGNMENT = re.compile(r"[-+*/]?=(?!=)")


@dataclass(frozen=True)
class Problem:
    """`faulty` is the offset of the wrong word, `closers` the brackets that are missing before it.

    `instead` is what stands in the place of a wrong bracket: the right one, or a space.
    `complete` when what stood before the word could have ended there: then the fault begins with the word itself.
    `is_name` when the word, a keyword, was meant as a name: then it does not begin anything.
    `nameless` when the name is missing that is bound or declared here.
    """

    diagnostic: Diagnostic
    faulty: int
    complete: bool = False
    is_name: bool = False
    closers: str = ""
    instead: str = ""
    nameless: bool = False


@dataclass(frozen=True)
class _Place:
    """The wrong word: its text (empty at the end of the file) and span; what could have stood there; what is open.

    `after` is the text behind it, `before` the word in front of it; `opened` counts from `base`.
    """

    text: str
    span: Span
    after: str
    accepted: frozenset[str]
    opened: tuple[tuple[int, str], ...]
    before: str = ""
    base: int = 0

    @property
    def written(self) -> tuple[str, str]:
        """The text before the word and from it on, as idioms read it: its line, behind the head of a declaration in
        braces where that stands on another line. Nothing stands before what begins a line outside of all brackets."""
        text, at = self.span.source.text, self.span.end if self.at_end else self.span.start
        start = text.rfind("\n", 0, at) + 1
        opened = self.opened[-1][0] + self.base if self.opened else start
        head = text[text.rfind("\n", 0, opened) + 1 : opened + 1] if opened < start else ""
        shown = f"{head} " if head.startswith(IN_BRACES) else ""
        before = shown + text[start:at]
        return before or " " * bool(self.opened), text[at:].partition("\n")[0]

    @property
    def at_end(self) -> bool:
        return not self.text

    @property
    def is_name(self) -> bool:
        """Is it a keyword where only a name could stand?"""
        return self.text in RESERVED and "NAME" in self.accepted and not self.accepted & {"INT", "LET"}

    @property
    def starts_statement(self) -> bool:
        return "LET" in self.accepted

    @property
    def begins_line(self) -> bool:
        return not self.span.source.text[self.span.start - self.span.column + 1 : self.span.start].strip()

    @property
    def begins_block(self) -> bool:
        return self.span.source.text[: self.span.start].rstrip().endswith("{")

    @property
    def closer(self) -> str:
        """What would close the innermost bracket, where it may be closed here."""
        innermost = self.opened[-1][1] if self.opened else ""
        return CLOSING[innermost] if innermost and CLOSERS[innermost] in self.accepted else ""


def explain(error: UnexpectedInput, source: Source, text: str, base: int = 0) -> Problem:
    """`text` is what was parsed, `base` its place in `source`."""
    place = _place(error, source, text, base)
    faulty = place.span.start - base
    closers = _missing(place)
    if closers:
        notes = tuple(
            Note(f"this '{bracket}' is still open", source.span(offset + base, offset + base + 1))
            for offset, bracket in place.opened[: -MOST_NAMED - 1 : -1][: len(closers)]
        )
        message = f"expected '{closers[0]}' before {_found(place)}"
        return Problem(Diagnostic("E0103", message, place.span, notes=notes), faulty, closers=closers)
    early = _too_early(place, text, faulty)
    if early is not None:
        span = source.span(base + early, base + early + 1)
        found = Diagnostic("E0103", "this '}' closes the declaration, and more of it follows", span, "leave it out")
        return Problem(found, early, instead=" ")
    complete = bool(place.accepted & {"LET", "FLOW"})
    nameless = place.accepted == {"LPAR"} or ("NAME" in place.accepted and not place.accepted & {"INT", "LET", "FLOW"})
    return Problem(
        _diagnostic(place), faulty, complete, place.is_name, instead=_right_bracket(place), nameless=nameless
    )


def expected_words(accepted: Iterable[str]) -> list[str]:
    """Names of terminals in people's words, groups first."""
    left = set(accepted)
    if "MAY" in left:  # behind a value, 'else' goes on as operators do
        left.discard("ELSE")
    words = []
    for group, needed in GROUPS.items():
        if needed <= left:
            words.append(group)
            left -= MEMBERS[group] | needed
    if left - CONTINUATIONS or words:
        left -= CONTINUATIONS
    named = sorted({TERMINALS.get(name) or f"'{PUNCTUATION.get(name, name.lower())}'" for name in left})
    return words + named


def _place(error: UnexpectedInput, source: Source, text: str, base: int) -> _Place:
    accepted = frozenset(error.interactive_parser.accepts())  # type: ignore[no-untyped-call]
    offset = error.pos_in_stream
    if offset is None or getattr(getattr(error, "token", None), "type", "") == "$END":
        end = len(source.text[base : base + len(text)].rstrip())
        opened = open_at(text, len(text))
        return _Place("", source.span(base + max(end - 1, 0), base + end), "", accepted, opened, base=base)
    match = TOKEN.match(text, offset)
    found = match.group() if match else text[offset]
    shown = offset + (3 if _is_unclosed_block(found) else len(found))
    after = text[offset + len(found) : offset + len(found) + 20].lstrip()
    before = BEFORE.search(text[max(offset - 40, 0) : offset])
    word = before.group(1) if before else ""
    return _Place(found, source.span(base + offset, base + shown), after, accepted, open_at(text, offset), word, base)


def _found(place: _Place) -> str:
    if place.at_end:
        return "the end"
    if place.text.startswith('"'):
        return "a string"
    if not place.text.isprintable():
        return f"U+{ord(place.text[0]):04X}"
    return QUOTES.get(place.text) or f"'{place.text}'"


def _missing(place: _Place) -> str:
    """The brackets that should have been closed before what stands here, the innermost first."""
    opened = "".join(bracket for _, bracket in reversed(place.opened))
    if not place.closer:
        return ""
    if place.at_end or (place.text in DECLARATIONS and place.span.column == 1):
        return _closing(opened)
    partner = OPENING.get(place.text, "{")
    ends = place.text == "->" or (place.text in STATEMENTS and place.begins_line) or place.text in OPENING
    open_inside = opened[: opened.find(partner)] if partner in opened else opened
    return _closing(open_inside) if ends and (partner in opened or place.text == "->") else ""


def _closing(brackets: str) -> str:
    return "".join(CLOSING[bracket] for bracket in brackets)


def _too_early(place: _Place, text: str, faulty: int) -> int | None:
    """The bracket before a statement outside of all declarations, where the rest of one has a bracket too many."""
    before = text[:faulty].rstrip()
    if place.opened or place.text not in STATEMENTS or not before.endswith("}"):
        return None
    rest = NEXT_DECLARATION.split(text[faulty:], maxsplit=1)[0]
    brackets = [item.text for item in scan(rest) if item.kind == "bracket"]
    return len(before) - 1 if brackets.count("}") > brackets.count("{") else None


def _right_bracket(place: _Place) -> str:
    """What should stand in the place of a bracket without a partner."""
    if place.text not in OPENING or not _closes_nothing(place):
        return ""
    return place.closer if place.closer not in ("", "}") else " "


def _closes_nothing(place: _Place) -> bool:
    partner = OPENING.get(place.text)
    return partner is not None and all(bracket != partner for _, bracket in place.opened)


def _diagnostic(place: _Place) -> Diagnostic:
    if _is_unclosed_block(place.text):
        return Diagnostic("E0102", "this text is not closed", place.span, 'close it with \'"""\'')
    if place.text.startswith('"') and not _closed(place.text):
        help = "close it with '\"' on the same line; a text of several lines stands between '\"\"\"'"
        return Diagnostic("E0102", "this string is not closed", place.span, help)
    if _right_bracket(place) == " ":
        return Diagnostic("E0103", f"'{place.text}' closes nothing", place.span)
    if place.text and not (place.text[0].isalnum() or place.text[0] in KNOWN_CHARACTERS):
        instead = idiom(*place.written) or FOREIGN.get(place.text)
        return Diagnostic("E0104", f"{_found(place)} has no meaning here", place.span, instead)
    words = expected_words(place.accepted)
    wanted = one_of(words[:MOST_NAMED]) if words else "nothing more"
    return Diagnostic("E0101", f"expected {wanted}, found {_found(place)}", place.span, _help(place))


def _is_unclosed_block(text: str) -> bool:
    return text.startswith('"""') and not (len(text) >= 6 and text.endswith('"""'))


def _closed(text: str) -> bool:
    return len(text) > 1 and text.endswith('"') and not text.endswith('\\"')


def _help(place: _Place) -> str | None:
    """A suggestion comes from what the grammar would have accepted here, or from the tables."""
    word = place.text
    if word == "else" and "LBRACE" in place.accepted:
        return "a value by condition is written 'if c { a } else { b }'"
    if word in STATEMENTS and "INT" in place.accepted and place.begins_block:
        return "one value stands here: what it needs is bound before"
    if place.accepted == {"ELSE"}:
        return "a value by condition has both sides: 'if c { a } else { b }'"
    if word == "else" and place.starts_statement:
        return "an 'else' stands behind an 'if', a 'repeat', or a value that may fail"
    if place.before == "else" and {"AS", "LBRACE"} <= place.accepted:
        return "what there is instead stands in braces; 'else as why { … }' names what failed"
    known = idiom(*place.written)
    if known is not None:
        return known
    if place.before == "return":
        return "every flow gives a value: 'return value'"
    if place.before in ("await", "async", "new", "try") and "NAME" not in place.accepted - {"LET"}:
        return FOREIGN.get(place.before) or "records are made by calling them: leave 'new' out"
    if word == "for" and place.opened and place.opened[-1][1] == "[":
        return "a list of what a fan-out keeps is written 'for x in xs limit 8 { keep … }'"
    if place.is_name:
        return f"'{word}' is a word of the language and cannot be a name"
    if word == "=":
        return _help_with_equals(place)
    if word == "," and place.starts_statement:
        if "ELSE" in place.accepted and "MAY" not in place.accepted:
            return "a message stands after 'else'"
        return "nothing separates statements: leave it out"
    if word == "const" and place.starts_statement:
        return "in a block a name is bound with 'let'"
    if word in DECLARATIONS and place.starts_statement:
        return "declarations stand at the top of a file, not in a block"
    if word in FOREIGN:
        return FOREIGN[word]
    return _help_with_word(place) if word[:1].isalpha() and word not in RESERVED else None


def _help_with_equals(place: _Place) -> str | None:
    if place.opened and place.opened[-1][1] == "(":
        return "an argument is written 'name: value'"
    return "compare with '=='; a name is bound with 'let'" if "COMPARE" in place.accepted else None


def _help_with_word(place: _Place) -> str | None:
    if place.starts_statement and ASSIGNMENT.match(place.after):
        return f"a name is bound once, with 'let {place.text} = …'"
    keywords = [name.lower() for name in place.accepted if name not in TERMINALS and name not in PUNCTUATION]
    near = did_you_mean(place.text, keywords)
    if near is None and place.starts_statement:
        if place.after.startswith(("(", ".")):
            return "what is done for its effect is written 'let _ = …'"
        return f"every statement begins with a word such as {one_of([repr(name) for name in STATEMENTS[:5]])}"
    return near

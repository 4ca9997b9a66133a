"""After a syntax error: cut the faulty statement out, so that reading again finds exactly the remaining errors.

A cut keeps every offset and line. A statement with a block loses its header only, where a stand-in fits
(`if true`, `test ""`), so that errors inside the block are still found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from alora_flow.frozen import dataclass
from alora_flow.language.syntax.brackets import balanced, feed, open_at
from alora_flow.language.syntax.problems import CLOSING, Problem
from alora_flow.language.syntax.scan import Scanned, scan
from alora_flow.language.syntax.words import DECLARATIONS, STATEMENTS

STAND_INS = {"flow": 'test ""', "test": 'test ""'}
VALUES = ("for", "repeat", "if", "match")
BEFORE_VALUES = (
    *("=", "return", "accept", "keep", "require", "(", ",", "[", ":", "==", "and", "or", "not", "in", "??"),
    *("if", "match", "when", "limit", "expect"),
)
BRACKETS = tuple("(){}[]")
TORN = ("E0102", "E0103")
VALUED = ("let", "return", "accept")
OPENERS = {"if", "for", "repeat", "flow", "test", "let", "return", "accept"}


@dataclass(frozen=True)
class _Mark:
    """A token with the number of brackets that are open before it, and whether a statement may start there.

    `hard` for a declaration's word at the beginning of a line, whatever is open before it, and for any word there
    with nothing open: something new starts.
    """

    token: Scanned
    depth: int
    starts: bool
    hard: bool


@dataclass(frozen=True)
class Cut:
    """What stands from `start` on gives way to `instead`, which is as long; what stands before `read` is right.

    From `doubtful` on, things are perhaps not what they seem: the statement before may have been meant to go on.
    `torn` where a bracket or a quote is missing: it is a guess then what belongs to which block.
    `nameless` where a name is missing that would have been bound or declared. `is_bracket` where the statement stays.
    """

    start: int
    instead: str
    read: int = 0
    torn: bool = False
    doubtful: int | None = None
    nameless: bool = False
    is_bracket: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.instead)

    def of(self, text: str) -> str:
        return text[: self.start] + self.instead + text[self.end :]

    def rest(self, text: str) -> str:
        """What must be read again."""
        return _spaces(text[: self.read]) + text[self.read :]


def cuts(text: str, problem: Problem) -> list[Cut]:
    """What may be cut, the least first: a bracket that is wrong or missing, then the statement around the fault."""
    if text.startswith('"""', problem.faulty):
        return []  # a text that is never closed: nothing after it can be trusted
    marks = _marks(text, problem.faulty)
    at = next((place for place, mark in enumerate(marks) if mark.token.end > problem.faulty), len(marks) - 1)
    if at < 0:
        return []
    at_end = problem.closers and not text[problem.faulty + 1 :].strip()  # so that all may be inside
    return [*_bracket(text, problem, marks, at), *([] if at_end else [_statement(text, problem, marks, at)])]


def _bracket(text: str, problem: Problem, marks: list[_Mark], at: int) -> Iterator[Cut]:
    """One in the place of a wrong one, those that are missing over the white space behind the last right word, or
    nothing in the place of one too many."""
    place, closers = problem.faulty, problem.closers
    behind = marks[at - 1].token.end if at else 0
    opened = open_at(text, behind)[-1:]
    missing = [*(CLOSING[bracket] for _, bracket in opened), "{"] if text[behind : behind + 1].isspace() else []
    changes = [(place, problem.instead)] if problem.instead else []
    changes += [(behind, closers)] if text[behind : behind + len(closers)].isspace() else []
    surely = len(changes)
    changes += [(place, " ")] if text[place] in BRACKETS else []
    changes += [(offset, " ") for offset, _ in opened] + [(behind, bracket) for bracket in missing]
    near = next((before for before in range(at - 1, -1, -1) if marks[before].starts or marks[before].hard), 0)
    for number, (start, instead) in enumerate(changes):
        first = next((before for before in range(near, -1, -1) if marks[before].token.start <= start), 0)
        read = _read(marks, first)
        torn = not {"{", "}"}.isdisjoint({text[start], *instead})
        cut = Cut(start, instead, read, torn, marks[first].token.start, is_bracket=True)
        if number < surely or balanced(cut.of(text)[read : marks[-1].token.end]):
            yield cut


def _statement(text: str, problem: Problem, marks: list[_Mark], at: int) -> Cut:
    complete = problem.complete and marks[at].token.start == problem.faulty
    taken = at > 0 and marks[at - 1].hard and marks[at - 1].token.text in DECLARATIONS
    taken = taken and (complete or marks[at - 1].depth > 0)
    if taken:
        at, complete = at - 1, False  # the word was taken for a name that is missing before it
    first = at if complete else _first(marks, at)
    closes_more = marks[at].depth < marks[first].depth
    inside = problem.is_name or (not complete and first < at and not closes_more and _on_one_line(text, marks, at))
    cut = _blanked(text, marks, first, at, _after(marks, first, at + inside))
    declaration = slice(_read(marks, first), max(marks[-1].token.end, cut.end))
    uneven = not balanced(cut.of(text)[declaration])
    if uneven:
        cut = _to_the_end(text, marks, first, declaration.stop)
    before = _first(marks, first - 1) if first and (complete or _on_one_line(text, marks, first)) else first
    torn = uneven or problem.diagnostic.code in TORN or (complete and marks[first].depth == 0)
    doubtful = marks[before].token.start
    return replace(cut, read=_read(marks, first), torn=torn, doubtful=doubtful, nameless=problem.nameless or taken)


def _on_one_line(text: str, marks: list[_Mark], first: int) -> bool:
    return "\n" not in text[marks[first - 1].token.end : marks[first].token.start]


def _read(marks: list[_Mark], first: int) -> int:
    """Where the faulty declaration starts: those before it are right."""
    declarations = [mark.token.start for mark in marks[: first + 1] if mark.starts and mark.depth == 0]
    return declarations[-1] if declarations else 0


def _marks(text: str, faulty: int) -> list[_Mark]:
    """The tokens up to the first declaration that begins a line after the fault."""
    stack: list[tuple[int, str]] = []
    marks: list[_Mark] = []
    before, in_middle = "", False
    for token in scan(text):
        if token.kind == "comment":
            continue
        in_block = not stack or stack[-1][1] == "{"
        words = STATEMENTS if stack else DECLARATIONS
        is_value = token.text in VALUES and before in BEFORE_VALUES
        is_declaration = token.text in DECLARATIONS or (token.kind == "word" and not stack)
        hard = is_declaration and text[token.start - 1 : token.start] in ("", "\n")
        starts = hard or (in_block and token.text in words and not is_value and not in_middle)
        closing = token.kind == "bracket" and token.text in ")}]"
        if token.kind == "bracket":
            feed(stack, token.start, token.text)
        if hard and token.start > faulty:
            break
        marks.append(_Mark(token, len(stack) if closing else len(stack) - (token.kind == "bracket"), starts, hard))
        before = token.text
        in_middle = before in (".", "@") or (not stack and token.kind == "other")
    return marks


def _first(marks: list[_Mark], at: int) -> int:
    """The token that starts the statement around `at`; one that itself starts a statement ends the one before."""
    depth = marks[at].depth
    for place in range(at - 1, -1, -1):
        mark = marks[place]
        if mark.hard or (mark.starts and mark.depth <= depth):
            return place
        depth = min(depth, mark.depth)
    return at


def _after(marks: list[_Mark], first: int, at: int) -> int:
    """The first token that no longer belongs to the statement."""
    depth = marks[first].depth
    place = max(at, first + 1)
    while place < len(marks):
        mark = marks[place]
        if mark.hard or mark.depth < depth or (mark.starts and mark.depth == depth):
            return place
        place += 1
    return place


def _blanked(text: str, marks: list[_Mark], first: int, at: int, after: int) -> Cut:
    start, depth = marks[first].token.start, marks[first].depth
    end = marks[after - 1].token.end if after > first else marks[at].token.end
    word = marks[first].token.text
    braces = [mark.token.start for mark in marks[first:after] if mark.token.text == "{" and mark.depth == depth]
    header = text[start : braces[0]] if braces else ""
    stand_in = STAND_INS.get(word, "if true")
    blocks = word not in VALUED or re.search(r"\b(for|repeat)\b", header)
    in_header = word in OPENERS and bool(blocks) and bool(braces) and marks[at].token.start <= braces[0]
    if in_header and len(header) >= len(stand_in) and not re.search(r"\b(invoke|budget)\b", header):
        return Cut(start, stand_in + _spaces(header[len(stand_in) :]))
    return Cut(start, _spaces(text[start:end]))


def _to_the_end(text: str, marks: list[_Mark], first: int, end: int) -> Cut:
    """All that is left of the declaration, whose brackets are not to be trusted from here on; its blocks are closed."""
    start = marks[first].token.start
    blocks = sum(bracket == "{" for _, bracket in open_at(text, start))
    blank = list(_spaces(text[start:end]))
    for place in [place for place, character in enumerate(blank) if character == " "][-blocks:] if blocks else ():
        blank[place] = "}"
    return Cut(start, "".join(blank))


def _spaces(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)

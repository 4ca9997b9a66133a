"""After a syntax error: blank the faulty statement, so that reading again finds exactly the remaining errors.

Blanking keeps every offset and line. A statement with a block loses its header only, where a stand-in fits
(`if true`, `test ""`), so that errors inside the block are still found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alora_flow.language.syntax.brackets import feed
from alora_flow.language.syntax.problems import Problem
from alora_flow.language.syntax.scan import Scanned, scan
from alora_flow.language.syntax.words import DECLARATIONS, STATEMENTS

STAND_INS = {"flow": 'test ""', "test": 'test ""'}
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


def blank_fault(text: str, problem: Problem) -> str | None:
    """The text without the statement around the fault; with the missing bracket instead, if that is the fault."""
    if problem.closer is not None:
        return _with_closer(text, problem.faulty, problem.closer) if text[problem.faulty + 1 :].strip() else None
    if text.startswith('"""', problem.faulty):
        return None  # a text that is never closed: nothing after it can be trusted
    marks = _marks(text, problem.faulty)
    at = next((place for place, mark in enumerate(marks) if mark.token.end > problem.faulty), None)
    complete = problem.complete and at is not None
    at = len(marks) - 1 if at is None else at
    if at < 0:
        return None
    first = at if complete else _first(marks, at)
    text = _blanked(text, marks, first, at, _after(marks, first, at + problem.is_name))
    return _without_what_was_read(text, marks, first)


def _without_what_was_read(text: str, marks: list[_Mark], first: int) -> str:
    """Declarations before the faulty one are right: they need not be read again."""
    declarations = [mark.token.start for mark in marks[: first + 1] if mark.starts and mark.depth == 0]
    start = declarations[-1] if declarations else 0
    return _spaces(text[:start]) + text[start:]


def _with_closer(text: str, faulty: int, closer: str) -> str | None:
    """Puts the bracket over the white space before the wrong word."""
    before = faulty - 1
    return text[:before] + closer + text[faulty:] if before >= 0 and text[before].isspace() else None


def _marks(text: str, faulty: int) -> list[_Mark]:
    """The tokens up to the first declaration that begins a line after the fault."""
    stack: list[tuple[int, str]] = []
    marks: list[_Mark] = []
    before = ""
    for token in scan(text):
        if token.kind == "comment":
            continue
        in_block = not stack or stack[-1][1] == "{"
        words = STATEMENTS if stack else DECLARATIONS
        is_value = token.text in ("for", "repeat") and before in ("=", "return", "accept")
        is_declaration = token.text in DECLARATIONS or (token.kind == "word" and not stack)
        hard = is_declaration and text[token.start - 1 : token.start] in ("", "\n")
        starts = hard or (in_block and token.text in words and not is_value and before != ".")
        closing = token.kind == "bracket" and token.text in ")}]"
        if token.kind == "bracket":
            feed(stack, token.start, token.text)
        if hard and token.start > faulty:
            break
        marks.append(_Mark(token, len(stack) if closing else len(stack) - (token.kind == "bracket"), starts, hard))
        before = token.text
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


def _blanked(text: str, marks: list[_Mark], first: int, at: int, after: int) -> str:
    start, depth = marks[first].token.start, marks[first].depth
    end = marks[after - 1].token.end if after > first else marks[at].token.end
    word = marks[first].token.text
    braces = [mark.token.start for mark in marks[first:after] if mark.token.text == "{" and mark.depth == depth]
    header = text[start : braces[0]] if braces else ""
    stand_in = STAND_INS.get(word, "if true")
    in_header = word in OPENERS and bool(braces) and marks[at].token.start <= braces[0]
    if in_header and len(header) >= len(stand_in) and not re.search(r"\b(invoke|budget)\b", header):
        return text[:start] + stand_in + _spaces(header[len(stand_in) :]) + text[braces[0] :]
    return text[:start] + _spaces(text[start:end]) + text[end:]


def _spaces(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)

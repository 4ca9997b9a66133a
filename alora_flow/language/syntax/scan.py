"""A coarse look at the text, right or wrong: strings, comments, words, brackets. For comments and recovery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from alora_flow.frozen import dataclass
from alora_flow.language.report.source import Source, Span

Kind = Literal["string", "comment", "word", "bracket", "other"]

STRING = (
    r'(?P<string>"""(?:[^"\\]|\\.|"(?!""))*+(?:""")?'
    r'|"(?!"")(?:\{(?:[^{}"\r\n]|"[^"\r\n{}]*")*\}|\\[^\r\n]|[^"\\\r\n])*+"?)'
)
COMMENT = r"(?P<comment>\#[^\r\n]*)"
STRING_OR_COMMENT = re.compile(rf"{STRING}|{COMMENT}", re.DOTALL)
TOKEN = re.compile(
    rf"{STRING}|{COMMENT}"
    r"|(?P<word>\w+)"
    r"|(?P<bracket>[][(){}])"
    r"|(?P<other>->|=>|[=!<>]=|\?\?|&&|\|\||\.\.|//|[^\s\w])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Scanned:
    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Comment:
    """`text` begins with `#`; `alone` when nothing else stands before it on its line."""

    text: str
    span: Span
    alone: bool


def scan(text: str) -> Iterator[Scanned]:
    for match in TOKEN.finditer(text):
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        yield Scanned(kind, match.group(), match.start(), match.end())


def comments(source: Source) -> tuple[Comment, ...]:
    found = []
    for match in STRING_OR_COMMENT.finditer(source.text):
        if match.lastgroup == "comment":
            span = source.span(match.start(), match.end())
            before = source.text[span.start - span.column + 1 : span.start]
            found.append(Comment(match.group().rstrip(), span, not before.strip()))
    return tuple(found)


def docs_by_line(found: tuple[Comment, ...]) -> dict[int, str]:
    """Runs of `##` lines as text, by the line that each run ends on (the last line of a run sees the whole run)."""
    docs: dict[int, str] = {}
    for comment in found:
        if comment.alone and comment.text.startswith("##"):
            line = comment.span.line
            text = comment.text[2:].strip()
            docs[line] = f"{docs[line - 1]}\n{text}" if line - 1 in docs else text
    return docs


def file_doc(source: Source, found: tuple[Comment, ...]) -> str:
    """The `##` text that the file begins with."""
    docs = docs_by_line(found)
    first = found[0] if found else None
    if first is None or source.text[: first.span.start].strip() or first.span.line not in docs:
        return ""
    line = first.span.line
    while line + 1 in docs:
        line += 1
    return docs[line]

"""String literals: from their spelling to decoded text and the places of their holes, and back."""

from __future__ import annotations

import re

from alora_flow.frozen import dataclass
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.source import Span

MOST_WRONG = 10  # findings in one literal; after a hole that is not closed there are none
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "{": "{", "}": "}", "0": "\0"}
SPELLINGS = {value: f"\\{key}" for key, value in ESCAPES.items() if key != "}"}

# text without escapes and holes | an escape | a hole (may hold plain strings) | whatever is wrong
PIECE = re.compile(
    r"(?P<text>[^\\{]+)"
    r"|\\u\{(?P<point>[0-9a-fA-F]{1,6})\}"
    r"|\\(?P<escape>[\s\S])"
    r'|\{(?P<hole>(?:[^{}"]|"[^"{}]*")*)\}'
    r"|(?P<wrong>[\s\S])"
)


@dataclass(frozen=True, slots=True)
class HoleText:
    """The text between the braces of a hole, and its place."""

    text: str
    span: Span


def decode(span: Span, block: bool) -> tuple[list[str | HoleText], list[Diagnostic]]:
    """Pieces of the literal that stands at `span`, quotes included; neighbouring texts are joined."""
    quotes = 3 if block else 1
    first, last = span.start + quotes, span.end - quotes
    pieces: list[str | HoleText] = []
    wrong: list[Diagnostic] = []
    text = span.source.text
    position = first
    margin = _margin(text[first:last]) if block else ""
    while position < last:
        match = PIECE.match(text, position, last)
        assert match is not None
        here = Span(span.source, match.start(), match.end())
        if match["hole"] is not None:
            pieces.append(HoleText(match["hole"], Span(span.source, match.start() + 1, match.end() - 1)))
        else:
            value, problem = _value(match, here)
            if problem is not None and len(wrong) < MOST_WRONG and not any(item.code == "E0106" for item in wrong):
                wrong.append(problem)
            if match["text"] is not None and block:
                value = _without_margin(value, margin, match.start() == first, match.end() == last)
            _append(pieces, value)
        position = match.end()
    return pieces, wrong


def encode(value: str) -> str:
    """`value` as it stands between single quotes-marks of a literal, without them."""
    return "".join(SPELLINGS.get(character) or _visible(character) for character in value)


def encode_block(value: str) -> str:
    """`value` as it stands between three quotes: line ends as they are."""
    spelled = "\n".join(encode(line).replace('\\"', '"') for line in value.split("\n"))
    return spelled.replace('"""', '\\"""')


def _value(match: re.Match[str], here: Span) -> tuple[str, Diagnostic | None]:
    if match["text"] is not None:
        return match["text"].replace("\r\n", "\n"), None
    if match["point"] is not None:
        return _character(int(match["point"], 16), here)
    if match["escape"] is not None:
        known = ESCAPES.get(match["escape"])
        problem = Diagnostic(
            "E0105",
            f"unknown escape '\\{match['escape']}'",
            here,
            help='known are \\n \\t \\r \\0 \\" \\\\ \\{ \\} and \\u{1F600}; a backslash itself is written \\\\',
        )
        return known or "", None if known is not None else problem
    doubled = here.source.text.startswith("{{", here.start)
    close = "a hole has one pair of braces" if doubled else "close it with '}'"
    help = f"{close}; a brace that is text is written '\\{{'"
    return "", Diagnostic("E0106", "this hole is not closed", here, help)


def _character(point: int, here: Span) -> tuple[str, Diagnostic | None]:
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        return "", Diagnostic("E0105", f"U+{point:04X} is no character", here)
    return chr(point), None


def _visible(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def _append(pieces: list[str | HoleText], value: str) -> None:
    if not value:
        return
    if pieces and isinstance(pieces[-1], str):
        pieces[-1] += value
    else:
        pieces.append(value)


def _margin(content: str) -> str:
    """The white space before the closing quotes, when they stand on a line of their own."""
    last = content.rsplit("\n", 1)[-1]
    return last if "\n" in content and not last.strip(" \t") else ""


def _without_margin(text: str, margin: str, first: bool, last: bool) -> str:
    """Drops the line end after the opening quotes, the one before the closing quotes, and the margin of each line."""
    if first:
        text = re.sub(r"\A[ \t]*\n", "\n", text)
    text = text.replace("\n" + margin, "\n") if margin else text
    if last and "\n" in text:
        head, _, tail = text.rpartition("\n")
        text = head if not tail.strip(" \t") else text
        if first and not head and not tail.strip(" \t"):
            return ""
    return text[1:] if first and text.startswith("\n") else text

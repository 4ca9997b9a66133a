"""A diagnostic on a terminal: the place, the line with the span underlined, notes, help.

error[E0302]: unknown name 'questoin'
  --> rag.flow:4:22
   |
 4 |   thread ask = user(questoin)
   |                     ^^^^^^^^
   = help: did you mean 'question'?
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from alora_flow.errors import FlowError
from alora_flow.language.report.diagnostics import Diagnostic, Note
from alora_flow.language.report.source import Span

STYLES = {"error": "1;31", "warning": "1;33", "note": "1;36", "help": "1;32", "place": "34", "bold": "1"}
WIDEST = 120


def render(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    return "\n".join(_one(item, color) for item in diagnostics)


def render_summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`; empty when there is nothing to say."""
    found = [item.severity for item in diagnostics]
    counts = [(found.count(severity), severity) for severity in ("error", "warning")]
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in counts if number)


def render_failure(error: FlowError) -> str:
    """An error that is no diagnostic. One that ended a run has its places, and the traceback of a tool that raised."""
    lines = [f"error: {error}"]
    margin = max((len(str(place.line)) for place in error.places), default=0)
    for place in error.places[:1]:
        lines += _excerpt(place, margin, "^", "error", color=False)
    for call in error.places[1:]:
        lines += _note(Note("called here", call), margin, color=False)
    if error.traceback:
        lines.append(error.traceback)
    return "\n".join([*lines, *([f"help: {error.help}"] if error.help else [])])


def harmless(text: str) -> str:
    """For a terminal: no character of it can move the cursor or colour what stands around it."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys instead of showing, those that turn the order of a text too; a line end and a tab
are harmless, and so are the spaces of any script."""


def _one(item: Diagnostic, color: bool) -> str:
    head = _styled(f"{item.severity}[{item.code}]", item.severity, color)
    lines = [f"{head}: {_styled(item.message, 'bold', color)}"]
    margin = len(str(max([item.span.end_line, *(note.span.line for note in item.notes if note.span)])))
    lines += _excerpt(item.span, margin, "^", item.severity, color)
    for note in item.notes:
        lines += _note(note, margin, color)
    if item.help:
        lines.append(f"{' ' * margin} {_styled('= help', 'help', color)}: {item.help}")
    return "\n".join([*lines, ""])


def _note(note: Note, margin: int, color: bool) -> list[str]:
    lines = [f"{' ' * margin} {_styled('= note', 'note', color)}: {note.message}"]
    return lines + (_excerpt(note.span, margin, "-", "note", color) if note.span else [])


def _excerpt(span: Span, margin: int, mark: str, style: str, color: bool) -> list[str]:
    """The place and the first line of the span, underlined as far as it goes on that line."""
    arrow = _styled("-->", "place", color)
    place = f"{' ' * margin}{arrow} {span.path}:{span.line}:{span.column}"
    if not span.source.text:
        return [place]
    text = span.source.line(span.line)
    start = min(span.column - 1, len(text))
    end = span.end_column - 1 if span.end_line == span.line else len(text)
    first = max(0, start - WIDEST // 2) if len(text) > WIDEST else 0
    before, marked = _shown(text[first:start]), _shown(text[start : min(end, first + WIDEST)])
    bar = _styled("|", "place", color)
    number = _styled(f"{span.line:>{margin}}", "place", color)
    line = _shown(text[first : first + WIDEST]).rstrip()
    under = _styled(mark * max(_width(marked), 1), style, color)
    return [
        place,
        f"{' ' * margin} {bar}",
        f"{number} {bar} {line}",
        f"{' ' * margin} {bar} {' ' * _width(before)}{under}",
    ]


def _shown(text: str) -> str:
    """Tabs as four spaces; what cannot be seen as a replacement character."""
    return "".join(character if character.isprintable() else "�" for character in text.replace("\t", "    "))


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _styled(text: str, style: str, color: bool) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if color else text

"""What is wrong with a flow file, as data: one type for the terminal, JSON, Python and editors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from difflib import get_close_matches
from typing import Any, Literal

from alora_flow.errors import FlowError
from alora_flow.frozen import dataclass
from alora_flow.language.report.codes import CODES
from alora_flow.language.report.source import Span

MOST_CANDIDATES = 300  # more are not compared: a file with thousands of unknown names must not take minutes
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """The other half of a conflict, with its place when it has one."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` says what is wrong and what was expected, `help` what to write instead."""

    code: str
    message: str
    span: Span
    help: str | None = None
    notes: tuple[Note, ...] = field(default=())

    def __post_init__(self) -> None:
        assert self.code in CODES, self.code

    @property
    def severity(self) -> Severity:
        return "error" if self.code.startswith("E") else "warning"

    @property
    def title(self) -> str:
        return CODES[self.code]

    def as_json(self) -> dict[str, Any]:
        """Places are 1-based; the end is just past the last character."""
        notes = [{"message": note.message, **(_place(note.span) if note.span else {})} for note in self.notes]
        return {
            **_place(self.span),
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "help": self.help,
            "notes": notes,
        }


class FlowErrors(FlowError):
    """A flow file is wrong. `diagnostics` holds everything found, warnings too, in the order of the text."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(summary(item) for item in self.diagnostics))


def summary(diagnostic: Diagnostic) -> str:
    """One line: `x.flow:3:7: error[E0302]: unknown name 'foo'`."""
    return f"{diagnostic.span!r}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place, each once."""
    found = {(item.span.path, item.span.start, item.code, item.message): item for item in diagnostics}
    return tuple(found[key] for key in sorted(found))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean 'thread'?`, or None when nothing is near."""
    known = list(dict.fromkeys(known))
    same = next((name for name in known if name != word and name.casefold() == word.casefold()), None)
    if same is not None:
        return f"did you mean '{same}'?"
    slack = max(2, len(word) // 3)
    candidates = [name for name in known if abs(len(name) - len(word)) <= slack][:MOST_CANDIDATES]
    near = get_close_matches(word, candidates, n=1, cutoff=0.8) or [
        name for name in get_close_matches(word, candidates, n=3, cutoff=0.6) if name[:1].lower() == word[:1].lower()
    ]
    return f"did you mean '{near[0]}'?" if near and near[0] != word else None


def one_of(words: Iterable[str], joiner: str = "or") -> str:
    """`a, b or c`."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {joiner} {listed[-1]}"


def _place(span: Span) -> dict[str, Any]:
    return {
        "file": span.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }

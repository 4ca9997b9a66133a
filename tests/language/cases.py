"""The case files: a program each, with what is expected of it beside it."""

from pathlib import Path

from alora_flow.language import Diagnostic, Span

CASES = Path(__file__).parent.parent / "cases"


def programs(folder: str) -> list[Path]:
    return sorted((CASES / folder).glob("*.flow"))


def outcome(diagnostics: tuple[Diagnostic, ...]) -> str:
    """One line a diagnostic with its whole place, its help and notes below."""
    lines = []
    for item in diagnostics:
        lines.append(f"{place(item.span)}-{item.span.end_line}:{item.span.end_column} {item.code} {item.message}")
        lines += [f"    note {place(note.span) if note.span else ''}: {note.message}" for note in item.notes]
        lines += [f"    help: {item.help}"] if item.help else []
    return "\n".join(lines) + "\n"


def place(span: Span) -> str:
    other = Path(span.path).parent.name
    file = f"{Path(span.path).name}:" if other == "parts" else ""
    return f"{file}{span.line}:{span.column}"

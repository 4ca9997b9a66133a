"""The first stages of a file as text: its tokens, and its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax.parser import parse, tokens_of


def show_tokens(source: Source) -> str:
    """One token a line: where it begins, its terminal, its text. Raises FlowErrors where the text is not a program."""
    _read(source)
    lines = (f"{line}:{column}\t{name}\t{text!r}" for line, column, name, text in tokens_of(source))
    return "".join(f"{line}\n" for line in lines)


def show_tree(source: Source) -> str:
    """One node a line, indented below its parent, with its plain fields. Raises FlowErrors."""
    return "".join(f"{line}\n" for line in _lines(_read(source), "", 0))


def _read(source: Source) -> object:
    parsed = parse(source)
    if parsed.file is None:
        raise FlowErrors(tuple(parsed.diagnostics))
    return parsed.file


def _lines(node: object, name: str, depth: int) -> Iterator[str]:
    parts = {item.name: getattr(node, item.name) for item in fields(node)}  # type: ignore[arg-type]
    span = parts.pop("span", None)
    plain = {key: value for key, value in parts.items() if not _holds_nodes(value)}
    shown = " ".join(f"{key}={value!r}" for key, value in plain.items() if value not in ((), None, ""))
    where = f"{span.line}:{span.column} " if isinstance(span, Span) else ""
    label = f"{name}: " if name else ""
    yield f"{'  ' * depth}{where}{label}{type(node).__name__} {shown}".rstrip()
    for key, value in parts.items():
        if key not in plain:
            for item in value if isinstance(value, tuple) else (value,):
                yield from _lines(item, key, depth + 1) if _is_node(item) else _plain(item, key, depth + 1)


def _plain(item: object, name: str, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{name}: {item!r}"


def _is_node(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, (type, Span, Source))


def _holds_nodes(value: object) -> bool:
    return _is_node(value) or (isinstance(value, tuple) and any(map(_is_node, value)))

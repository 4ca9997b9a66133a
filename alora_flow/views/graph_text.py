"""A drawing in the terminal: one row a node, what it does, what it reads, what must hold."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alora_flow.views.drawing import Arrow, Box, Drawing, InnerBox

CONDITIONS = {"yes": "when", "no": "unless"}
ALTERNATIVES = ("merge", "select", "collect")
"""Kinds of which one condition is enough."""

MOST_NEEDS = 6
"""Of a row's sources; the rest is counted."""

MOST_ROWS = 500
"""Of a table; the rest is counted."""


def graph_table(drawing: Drawing) -> RenderableType:
    """The graph in the order of the source, as far as somebody may read it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in ("node", "kind", "does", "needs"):
        table.add_column(column, overflow="fold")
    arrows: dict[str, list[Arrow]] = {}
    for arrow in drawing.arrows:
        arrows.setdefault(arrow.target, []).append(arrow)
    for box in drawing.boxes[:MOST_ROWS]:
        table.add_row(*_row(box, arrows.get(box.id, [])))
        for row in _inner_rows(box.inner, "  "):
            table.add_row(*row)
    heading = [Text(drawing.signature, style="bold"), *([Text(drawing.doc, style="italic")] if drawing.doc else [])]
    return Group(*heading, table, *left_out(len(drawing.boxes), "nodes"))


def left_out(count: int, what: str) -> list[Text]:
    """How many of `count` are not shown, and where they are."""
    more = f"… and {count - MOST_ROWS} more {what}: --json has all, 'alora-flow graph' draws loops as boxes."
    return [Text(more, style="dim")] if count > MOST_ROWS else []


def _row(box: Box, arrows: list[Arrow]) -> tuple[Text, ...]:
    wants = needs(arrows, " or " if box.kind in ALTERNATIVES else ", ")
    return Text(box.label, style="bold"), Text(box.kind, style="dim"), Text(box.detail), Text(wants)


def _inner_rows(boxes: tuple[InnerBox, ...], indent: str) -> Iterator[tuple[Text, ...]]:
    """What may be called in the middle of an answer, under whoever calls it."""
    for box in boxes:
        yield Text(f"{indent}⇄ {box.label}"), Text(box.kind, style="dim"), Text(box.detail), Text("called by it")
        yield from _inner_rows(box.inner, f"{indent}  ")


def needs(arrows: list[Arrow], joiner: str = ", ") -> str:
    """`← ask, found  unless if`"""
    read = [arrow.source for arrow in arrows if not arrow.label]
    held = [f"{CONDITIONS[arrow.label]} {arrow.source}" for arrow in arrows if arrow.label]
    return "  ".join([*(["← " + _listed(read, ", ")] if read else []), *([_listed(held, joiner)] if held else [])])


def _listed(names: list[str], joiner: str) -> str:
    shown = names if len(names) <= MOST_NEEDS else [*names[: MOST_NEEDS - 1], f"{len(names) - MOST_NEEDS + 1} more"]
    return joiner.join(shown)

"""A drawing as a Mermaid flowchart, as GitHub and many editors show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alora_flow.views.drawing import Arrow, Box, Drawing, InnerBox, kinds
from alora_flow.views.style import ARROWS, INK, NODES

SHAPES = {
    "box": ("(", ")"),
    "pill": ("([", "])"),
    "hexagon": ("{{", "}}"),
    "tool": ("[[", "]]"),
}
"""What stands around a label."""

LINES = {"data": "-->", "thread": "==>", "guard": "-. {} .->"}

_ESCAPES = {ord(letter): f"#{ord(letter)};" for letter in '"#&<>`\\*~'}
"""Mermaid reads HTML and Markdown in labels; its own escape is `#` and a character's number."""


def to_mermaid(drawing: Drawing) -> str:
    """`flowchart TD …`. Nodes are n1, n2, …: Mermaid has reserved words and a narrow alphabet for ids."""
    ids = {box.id: f"n{number}" for number, box in enumerate(drawing.boxes, start=1)}
    drawn_kinds = dict.fromkeys(kinds(drawing.boxes))
    drawn = {arrow.kind for arrow in drawing.arrows}
    lines = [
        "flowchart TD",
        *(f"  {line}" for box in drawing.boxes for line in _boxed(box, ids)),
        *(f"  {_edge(arrow, ids)}" for arrow in drawing.arrows),
        *(f"  {_class(kind)}" for kind in drawn_kinds),
        *(f"  {_links(kind, drawing.arrows)}" for kind in ARROWS if kind in drawn),
    ]
    return "\n".join(["---", f"title: {_title(drawing.signature)}", "---", *lines]) + "\n"


def escaped(text: str) -> str:
    """Text for inside a quoted label."""
    return text.translate(_ESCAPES)


def _title(text: str) -> str:
    """The front matter is YAML, of which this is a double-quoted string."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _node(box: Box, ids: Mapping[str, str]) -> str:
    before, after = SHAPES[NODES[box.kind].shape]
    return f'{ids[box.id]}{before}"{escaped(box.label)}<br/>{escaped(box.detail)}"{after}:::{box.kind}_'


def _boxed(box: Box, ids: Mapping[str, str]) -> Iterator[str]:
    """A node; with what may be called in the middle of it, inside a frame."""
    if not box.inner:
        yield _node(box, ids)
        return
    yield f'subgraph {ids[box.id]}s[" "]'
    yield f"  {_node(box, ids)}"
    for line in _inside(box.inner, ids[box.id]):
        yield f"  {line}"
    yield "end"


def _inside(boxes: tuple[InnerBox, ...], outer: str) -> Iterator[str]:
    for number, box in enumerate(boxes, start=1):
        place, (before, after) = f"{outer}c{number}", SHAPES[NODES[box.kind].shape]
        node = f'{place}{before}"{escaped(box.label)}<br/>{escaped(box.detail)}"{after}:::{box.kind}_'
        if not box.inner:
            yield node
            continue
        yield f'subgraph {place}s[" "]'
        yield f"  {node}"
        for line in _inside(box.inner, place):
            yield f"  {line}"
        yield "end"


def _edge(arrow: Arrow, ids: Mapping[str, str]) -> str:
    return f"{ids[arrow.source]} {LINES[arrow.kind].format(arrow.label)} {ids[arrow.target]}"


def _class(kind: str) -> str:
    """Class names end in `_`, because Mermaid reserves `return` and its like."""
    style = NODES[kind]
    return f"classDef {kind}_ fill:{style.fill},stroke:{style.stroke},color:{INK}"


def _links(kind: str, arrows: tuple[Arrow, ...]) -> str:
    style = ARROWS[kind]
    numbers = ",".join(str(number) for number, arrow in enumerate(arrows) if arrow.kind == kind)
    return f"linkStyle {numbers} stroke:{style.colour},stroke-width:{style.width}px"

"""A drawing in Graphviz's DOT language."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.views.drawing import Arrow, Box, Drawing, InnerBox
from alora_flow.views.style import ARROWS, INK, NODES

SHAPES = {
    "box": 'shape=box style="rounded,filled"',
    "pill": 'shape=box style="rounded,filled" margin="0.25,0.06"',
    "hexagon": "shape=hexagon style=filled",
    "tool": "shape=component style=filled",
}


def to_dot(drawing: Drawing) -> str:
    """`digraph "safety_rag" { … }`"""
    lines = [
        f"digraph {quoted(drawing.title)} {{",
        f"  graph [label={quoted(drawing.signature)} labelloc=t rankdir=TB fontname=Helvetica]",
        f'  node [fontname=Helvetica fontsize=11 fontcolor="{INK}"]',
        "  edge [fontname=Helvetica fontsize=10]",
        *(f"  {line}" for box in drawing.boxes for line in _boxed(box)),
        *(f"  {_edge(arrow)}" for arrow in drawing.arrows),
        "}",
    ]
    return "\n".join(lines) + "\n"


def quoted(*lines: str) -> str:
    r"""A DOT string; a backslash is doubled, so that no `\N` or `\l` of the flow means anything here."""
    text = r"\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{text}"'


def _node(box: Box) -> str:
    style = NODES[box.kind]
    label = quoted(box.label, box.detail)
    colours = f'fillcolor="{style.fill}" color="{style.stroke}"'
    return f"{quoted(box.id)} [label={label} tooltip={quoted(box.whole)} {SHAPES[style.shape]} {colours}]"


def _boxed(box: Box) -> Iterator[str]:
    """A node; with what may be called in the middle of it, inside a frame."""
    if not box.inner:
        yield _node(box)
        return
    yield f"subgraph {quoted(f'cluster {box.id}')} {{ {_frame(box.kind)}"
    yield f"  {_node(box)}"
    for line in _inside(box.inner, box.id):
        yield f"  {line}"
    yield "}"


def _inside(boxes: tuple[InnerBox, ...], outer: str) -> Iterator[str]:
    for box in boxes:
        place = f"{outer} / {box.label}"
        style = NODES[box.kind]
        colours = f'fillcolor="{style.fill}" color="{style.stroke}"'
        node = f"{quoted(place)} [label={quoted(box.label, box.detail)} {SHAPES[style.shape]} {colours} fontsize=9]"
        if not box.inner:
            yield node
            continue
        yield f"subgraph {quoted(f'cluster {place}')} {{ {_frame(box.kind)}"
        yield f"  {node}"
        for line in _inside(box.inner, place):
            yield f"  {line}"
        yield "}"


def _frame(kind: str) -> str:
    return f'label="" style=rounded color="{NODES[kind].stroke}"'


def _edge(arrow: Arrow) -> str:
    style = ARROWS[arrow.kind]
    dashed = " style=dashed" if style.dash else ""
    label = f" label={quoted(arrow.label)}" if arrow.label else ""
    attributes = f'penwidth={style.width} color="{style.colour}"{dashed}{label}'
    return f"{quoted(arrow.source)} -> {quoted(arrow.target)} [{attributes}]"

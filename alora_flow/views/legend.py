"""The legend under an SVG drawing: the kinds of arrows and nodes that occur in it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement

from alora_flow.views.drawing import Drawing, kinds
from alora_flow.views.outline import Rectangle, outline
from alora_flow.views.style import ARROWS, NODES

HEIGHT = 24.0
"""Of one row."""

SAMPLE = 34.0
"""The width of what is shown before its meaning."""

LETTER = 6.4


def legend(drawing: Drawing, width: float) -> list[list[Element]]:
    """Rows of entries, as many in each as fit into `width`: first arrows, then nodes, in the order of the tables."""
    arrows = {arrow.kind for arrow in drawing.arrows}
    boxes = {*kinds(drawing.boxes)}
    lines = [(_line(kind), style.meaning) for kind, style in ARROWS.items() if kind in arrows]
    shapes = [(_shape(kind), style.meaning) for kind, style in NODES.items() if kind in boxes]
    return [*_rows(lines, width), *_rows(shapes, width)]


def _rows(samples: list[tuple[Element, str]], width: float) -> Iterator[list[Element]]:
    row: list[Element] = []
    left = 0.0
    for sample, meaning in samples:
        taken = SAMPLE + LETTER * len(meaning) + 26
        if row and left + taken > width:
            yield row
            row, left = [], 0.0
        row.append(_entry(sample, meaning, left))
        left += taken
    if row:
        yield row


def _entry(sample: Element, meaning: str, left: float) -> Element:
    entry = Element("g", transform=f"translate({left:.1f} 0)")
    entry.append(sample)
    SubElement(entry, "text", {"class": "legend", "x": f"{SAMPLE + 7:.0f}", "y": "4"}).text = meaning
    return entry


def _shape(kind: str) -> Element:
    sample = Element("g")
    outline(sample, kind, Rectangle(3, -8, SAMPLE - 6, 16))
    return sample


def _line(kind: str) -> Element:
    style = ARROWS[kind]
    dash = {"stroke-dasharray": style.dash} if style.dash else {}
    ends = {"x1": "2", "y1": "0", "x2": f"{SAMPLE - 2:.0f}", "y2": "0"}
    return Element("line", {**ends, "stroke": style.colour, "stroke-width": f"{style.width}", **dash})

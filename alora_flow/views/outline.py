"""The outlines of boxes in SVG, by shape: in the drawing and, small, in its legend."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from alora_flow.views.style import NODES


class Rectangle(NamedTuple):
    """`x`, `y`: the top left corner."""

    x: float
    y: float
    width: float
    height: float


Colours = dict[str, str]


def _rounded(parent: Element, frame: Rectangle, colours: Colours, radius: float) -> None:
    corner = {"x": f"{frame.x:.1f}", "y": f"{frame.y:.1f}"}
    size = {"width": f"{frame.width:.1f}", "height": f"{frame.height:.1f}", "rx": f"{radius:.1f}"}
    SubElement(parent, "rect", {**corner, **size, **colours})


def _box(parent: Element, frame: Rectangle, colours: Colours) -> None:
    _rounded(parent, frame, colours, min(9.0, frame.height / 3))


def _pill(parent: Element, frame: Rectangle, colours: Colours) -> None:
    _rounded(parent, frame, colours, frame.height / 2)


def _hexagon(parent: Element, frame: Rectangle, colours: Colours) -> None:
    """A point at either side."""
    x, y, width, height = frame
    cut = height / 4
    points = (
        (x, y + height / 2),
        (x + cut, y),
        (x + width - cut, y),
        (x + width, y + height / 2),
        (x + width - cut, y + height),
        (x + cut, y + height),
    )
    text = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    SubElement(parent, "polygon", {"points": text, "stroke-linejoin": "round", **colours})


def _tool(parent: Element, frame: Rectangle, colours: Colours) -> None:
    """A box with a second line inside its left and right side."""
    _box(parent, frame, colours)
    inset = frame.height / 7
    for x in (frame.x + inset, frame.x + frame.width - inset):
        ends = {"x1": f"{x:.1f}", "x2": f"{x:.1f}", "y1": f"{frame.y:.1f}", "y2": f"{frame.y + frame.height:.1f}"}
        SubElement(parent, "line", {**ends, "stroke": colours["stroke"], "stroke-width": "1"})


SHAPES: dict[str, Callable[[Element, Rectangle, Colours], None]] = {
    "box": _box,
    "pill": _pill,
    "hexagon": _hexagon,
    "tool": _tool,
}


def outline(parent: Element, kind: str, frame: Rectangle) -> None:
    """The outline of a node of this kind, filled."""
    style = NODES[kind]
    SHAPES[style.shape](parent, frame, {"fill": style.fill, "stroke": style.stroke, "stroke-width": "1.4"})

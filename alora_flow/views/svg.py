"""A drawing as SVG: one file without scripts, links or fonts of its own."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rich.cells import cell_len

from alora_flow.views.drawing import Drawing, InnerBox, shorten
from alora_flow.views.layout import Layout, PlacedBox, Point, Route, lay_out, path
from alora_flow.views.legend import HEIGHT as LEGEND_HEIGHT
from alora_flow.views.legend import legend
from alora_flow.views.outline import Rectangle, outline
from alora_flow.views.style import ARROWS, INK

MARGIN = 36.0
HEAD = 74.0
"""Of the title and the signature."""

LABEL_LETTER, DETAIL_LETTER = 7.9, 6.65
"""Widths that the fonts below stay under, in pixels at their sizes."""

LONGEST_LABEL = 27
INNER_GAP = 5.0
TIP = 8.0

CSS = f"""
.flow-graph text {{ font-family: ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: {INK} }}
.flow-graph .title {{ font-size: 20px; font-weight: 650 }}
.flow-graph .signature, .flow-graph .detail {{ font-family: ui-monospace, Menlo, "DejaVu Sans Mono", monospace }}
.flow-graph .signature {{ font-size: 12px; fill: #5b6575 }}
.flow-graph .label {{ font-size: 13px; font-weight: 600; text-anchor: middle }}
.flow-graph .detail {{ font-size: 11px; fill: #414c5c; text-anchor: middle }}
.flow-graph .branch {{ font-size: 10.5px; font-weight: 600; text-anchor: middle; fill: #7a6206 }}
.flow-graph .legend {{ font-size: 11.5px; fill: #414c5c }}
"""
"""Bound to the picture's class, so that it styles nothing else in a page that holds it."""


def to_svg(drawing: Drawing) -> str:
    """The picture."""
    layout = lay_out(drawing, _box_width(drawing))
    width = max(layout.width, len(drawing.signature) * 7.3, 560.0) + 2 * MARGIN
    rows = legend(drawing, width - 2 * MARGIN)
    height = HEAD + layout.height + MARGIN + len(rows) * LEGEND_HEIGHT + MARGIN
    svg = _canvas(drawing, width, height)
    shift = (width - layout.width) / 2
    _picture(SubElement(svg, "g", transform=f"translate({shift:.1f} {HEAD:.1f})"), layout)
    base = HEAD + layout.height + MARGIN
    for row, items in enumerate(rows):
        group = SubElement(svg, "g", transform=f"translate({MARGIN:.1f} {base + row * LEGEND_HEIGHT:.1f})")
        group.extend(items)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _box_width(drawing: Drawing) -> float:
    """Of all boxes: what the longest text needs."""
    labels = [cell_len(shorten(box.label, LONGEST_LABEL)) * LABEL_LETTER for box in drawing.boxes]
    details = [cell_len(box.detail) * DETAIL_LETTER for box in drawing.boxes]
    inner = [sum(map(inner_width, box.inner)) + INNER_GAP * (len(box.inner) - 1) for box in drawing.boxes]
    return max([*labels, *details, *inner, 90.0]) + 30


def _canvas(drawing: Drawing, width: float, height: float) -> Element:
    size = {"width": f"{width:.0f}", "height": f"{height:.0f}", "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "class": "flow-graph", "role": "img"})
    _text(svg, "title", f"flow {drawing.signature}")
    if drawing.doc:
        _text(svg, "desc", drawing.doc)
    _text(svg, "style", CSS)
    SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    _text(svg, "text", drawing.title, {"class": "title", "x": f"{MARGIN:.0f}", "y": "38"})
    _text(svg, "text", drawing.signature, {"class": "signature", "x": f"{MARGIN:.0f}", "y": "58"})
    return svg


def _picture(parent: Element, layout: Layout) -> None:
    """Arrows first, so that boxes and branch labels lie above them."""
    for route in sorted(layout.routes, key=lambda route: route.arrow.kind == "thread"):
        _arrow(parent, route)
    for box in layout.boxes:
        _box(parent, box)
    branches = {(route.points[0], route.arrow.label): None for route in layout.routes if route.arrow.label}
    for port, label in branches:
        _branch(parent, port, label)


def _arrow(parent: Element, route: Route) -> None:
    arrow, style = route.arrow, ARROWS[route.arrow.kind]
    attributes = {"class": f"edge {arrow.kind}", "data-source": arrow.source, "data-target": arrow.target}
    group = SubElement(parent, "g", attributes)
    line = {"d": path(route.points, TIP - 1), "fill": "none", "stroke": style.colour, "stroke-width": f"{style.width}"}
    SubElement(group, "path", line | ({"stroke-dasharray": style.dash} if style.dash else {}))
    end, half = route.points[-1], 2.6 + style.width * 0.75
    corners = (end, Point(end.x - half, end.y - TIP), Point(end.x + half, end.y - TIP))
    SubElement(group, "polygon", {"points": _polygon(corners), "fill": style.colour})


def _branch(parent: Element, port: Point, label: str) -> None:
    """`yes` or `no` where the arrows of a branch leave their condition."""
    width = 8 + 6.5 * len(label)
    corner = {"x": f"{port.x - width / 2:.1f}", "y": f"{port.y + 5:.1f}", "width": f"{width:.1f}", "height": "15"}
    SubElement(parent, "rect", {**corner, "rx": "7.5", "fill": "#fffbe8", "stroke": "#dcc878", "stroke-width": "0.8"})
    _text(parent, "text", label, {"class": "branch", "x": f"{port.x:.1f}", "y": f"{port.y + 16:.1f}"})


def _box(parent: Element, placed: PlacedBox) -> None:
    box = placed.box
    group = SubElement(parent, "g", {"class": f"node {box.kind}", "data-id": box.id})
    _text(group, "title", f"{box.label} ({box.kind}): {box.whole}")
    outline(group, box.kind, Rectangle(placed.x - placed.width / 2, placed.top, placed.width, placed.height))
    middle = {"x": f"{placed.x:.1f}"}
    _text(group, "text", shorten(box.label, LONGEST_LABEL), {"class": "label", **middle, "y": f"{placed.y - 4:.1f}"})
    _text(group, "text", box.detail, {"class": "detail", **middle, "y": f"{placed.y + 14:.1f}"})
    left = placed.x - (sum(map(inner_width, box.inner)) + INNER_GAP * (len(box.inner) - 1)) / 2
    for inner in box.inner:
        _inner(group, inner, Rectangle(left, placed.y + 22, inner_width(inner), 20))
        left += inner_width(inner) + INNER_GAP


def inner_width(box: InnerBox) -> float:
    """Of a call inside a box: its name, and those that it makes in turn behind it."""
    return cell_len(box.label) * DETAIL_LETTER + 16 + sum(inner_width(one) + INNER_GAP for one in box.inner)


def _inner(parent: Element, box: InnerBox, frame: Rectangle) -> None:
    group = SubElement(parent, "g", {"class": f"call {box.kind}", "data-name": box.label})
    _text(group, "title", f"{box.label} ({box.kind}), called in the middle of the answer: {box.detail}")
    outline(group, box.kind, frame)
    named = cell_len(box.label) * DETAIL_LETTER + 16
    place = {"x": f"{frame.x + named / 2:.1f}", "y": f"{frame.y + frame.height / 2 + 3.5:.1f}"}
    _text(group, "text", box.label, {"class": "detail", **place})
    left = frame.x + named
    for one in box.inner:
        _inner(group, one, Rectangle(left, frame.y + 2, inner_width(one), frame.height - 4))
        left += inner_width(one) + INNER_GAP


def _text(parent: Element, tag: str, text: str, attributes: dict[str, str] | None = None) -> None:
    SubElement(parent, tag, attributes or {}).text = text


def _polygon(points: Iterable[Point]) -> str:
    return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in points)

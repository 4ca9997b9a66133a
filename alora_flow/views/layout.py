"""Where boxes and arrows of a drawing go: layers from top to bottom, lengths in pixels, the origin at the top left.

Layers, order and columns come from fast-sugiyama (Sugiyama's method; it knows centres only, so all boxes are of one
size). An arrow over several layers passes each of them in a column of its own; here it gets its ports and its path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import networkx
from fast_sugiyama import from_edges

from alora_flow.frozen import dataclass
from alora_flow.views.drawing import Arrow, Box, Drawing

BOX_HEIGHT = 48.0
INNER_HEIGHT = 26.0
"""Of a row of calls inside a box."""

ROW_GAP = 52.0
COLUMN_GAP = 30.0
LANE = 0.22
"""The width that an arrow takes when it passes a layer, as a part of a box's."""

PORT_STEP = 34.0
"""The most that lies between two arrows' ends at one box."""


class Point(NamedTuple):
    x: float
    y: float


class PlacedBox(NamedTuple):
    """`x`, `y`: the middle."""

    box: Box
    x: float
    y: float
    width: float

    @property
    def top(self) -> float:
        return self.y - BOX_HEIGHT / 2

    @property
    def height(self) -> float:
        """Calls inside a box make it longer at its end; the gap to the next layer has room for them."""
        return BOX_HEIGHT + (INNER_HEIGHT if self.box.inner else 0.0)

    @property
    def bottom(self) -> float:
        return self.top + self.height


class Route(NamedTuple):
    """From the source's bottom to the target's top. Between points 2k and 2k + 1 it crosses a gap of layers."""

    arrow: Arrow
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """All of it, within `width` × `height`."""

    boxes: tuple[PlacedBox, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


Chain = tuple[int, ...]
"""An edge with the layers' places between: source, lanes, target."""


def lay_out(drawing: Drawing, box_width: float) -> Layout:
    """The layout of a drawing. The same drawing always gets the same one."""
    places, chains = _places(drawing, box_width)
    boxes = {box.id: PlacedBox(box, *places[number], box_width) for number, box in enumerate(drawing.boxes)}
    numbers = {box.id: number for number, box in enumerate(drawing.boxes)}
    lanes = {
        arrow: [places[number] for number in chains[numbers[arrow.source], numbers[arrow.target]][1:-1]]
        for arrow in drawing.arrows
    }
    routes = _routes(drawing.arrows, boxes, lanes)
    bottom = max((box.bottom for box in boxes.values()), default=0.0)
    right = max((point.x for point in places.values()), default=0.0) + box_width / 2
    return Layout(tuple(boxes.values()), tuple(routes), right, bottom)


def _places(drawing: Drawing, box_width: float) -> tuple[dict[int, Point], dict[tuple[int, int], Chain]]:
    """Middles by the number of the box, and of the lanes; parts that hang together stand side by side."""
    numbers = {box.id: number for number, box in enumerate(drawing.boxes)}
    graph: networkx.DiGraph[int] = networkx.DiGraph()
    graph.add_nodes_from(numbers.values())
    graph.add_edges_from(sorted({(numbers[arrow.source], numbers[arrow.target]) for arrow in drawing.arrows}))
    places: dict[int, Point] = {}
    chains: dict[tuple[int, int], Chain] = {}
    left = 0.0
    for members in sorted(map(sorted, networkx.weakly_connected_components(graph))):
        part, steps = _part(members, graph, len(numbers) + len(places))
        places |= _scaled(_mirrored(part, len(numbers)), left, box_width)
        chains |= _chains(steps, len(numbers))
        left = max(places[number].x for number in part) + box_width / 2 + COLUMN_GAP
    return places, chains


def _part(
    members: list[int], graph: networkx.DiGraph[int], lanes: int
) -> tuple[dict[int, Point], list[tuple[int, int]]]:
    """One connected part: x in columns, y in layers from the top, and the steps from layer to layer.

    Lanes are numbered from `lanes` on. fast-sugiyama wants vertices without a gap, and one part at a time: of several
    it gives a lane of one the number of a vertex of another (0.5.3).
    """
    if len(members) == 1:
        return {members[0]: Point(0, 0)}, []
    index = {number: place for place, number in enumerate(members)}
    edges = [(index[source], index[target]) for source, target in sorted(graph.subgraph(members).edges)]
    positions, _, _, steps = from_edges(edges, vertex_spacing=1.0, dummy_vertices=True, dummy_size=LANE)[0]
    passed = sorted(int(vertex) for vertex, _ in positions if int(vertex) >= len(members))
    number = dict(enumerate(members)) | {vertex: lanes + order for order, vertex in enumerate(passed)}
    top = max(y for _, (_, y) in positions)
    places = {number[int(vertex)]: Point(x, top - y) for vertex, (x, y) in positions}
    return places, [(number[int(source)], number[int(target)]) for source, target in steps or ()]


def _mirrored(places: dict[int, Point], count: int) -> dict[int, Point]:
    """Left and right exchanged where more boxes then stand in the order of the source from left to right."""
    rows: dict[float, list[int]] = defaultdict(list)
    for number in sorted((number for number in places if number < count), key=lambda number: places[number].x):
        rows[places[number].y].append(number)
    rising = sum(1 if left < right else -1 for row in rows.values() for left, right in pairwise(row))
    return places if rising >= 0 else {number: Point(-point.x, point.y) for number, point in places.items()}


def _chains(steps: Iterable[tuple[int, int]], count: int) -> dict[tuple[int, int], Chain]:
    """Steps from layer to layer joined to whole edges; lanes are the numbers from `count` on."""
    steps = list(steps)
    onward = {source: target for source, target in steps if source >= count}
    chains = {}
    for source, target in steps:
        if source < count:
            chain = [source, target]
            while chain[-1] >= count:
                chain.append(onward[chain[-1]])
            chains[source, chain[-1]] = tuple(chain)
    return chains


def _scaled(part: Mapping[int, Point], left: float, box_width: float) -> dict[int, Point]:
    """Columns and layers to pixels; nothing of the part reaches left of `left`."""
    first = min(point.x for point in part.values())
    column, row = box_width + COLUMN_GAP, BOX_HEIGHT + ROW_GAP
    return {
        number: Point(left + box_width / 2 + (point.x - first) * column, BOX_HEIGHT / 2 + point.y * row)
        for number, point in part.items()
    }


# ----------------------------------------------------------------------- arrows


def _routes(
    arrows: Iterable[Arrow], boxes: Mapping[str, PlacedBox], lanes: Mapping[Arrow, list[Point]]
) -> Iterable[Route]:
    """Every arrow's path. Arrows of one kind and label leave a box from one port; each arrives at a port of its own."""
    arrows = list(arrows)
    exits: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    entries: dict[str, list[tuple[float, Arrow]]] = defaultdict(list)
    for arrow in arrows:
        middle = [boxes[arrow.source].x, *(point.x for point in lanes[arrow]), boxes[arrow.target].x]
        exits[arrow.source][arrow.kind, arrow.label].append(middle[1])
        entries[arrow.target].append((middle[-2], arrow))
    starts = {name: _exit_ports(boxes[name], groups) for name, groups in exits.items()}
    ends = {arrow: port for name, coming in entries.items() for arrow, port in _entry_ports(boxes[name], coming)}
    for arrow in arrows:
        passed = [end for lane in lanes[arrow] for end in _across(lane)]
        yield Route(arrow, (starts[arrow.source][arrow.kind, arrow.label], *passed, ends[arrow]))


def _across(lane: Point) -> tuple[Point, Point]:
    """Straight down past a layer's boxes."""
    return Point(lane.x, lane.y - BOX_HEIGHT / 2), Point(lane.x, lane.y + BOX_HEIGHT / 2)


def _ports(box: PlacedBox, count: int) -> list[float]:
    step = min(PORT_STEP, (box.width - 40) / max(count - 1, 1))
    return [box.x + (place - (count - 1) / 2) * step for place in range(count)]


def _exit_ports(box: PlacedBox, groups: Mapping[tuple[str, str], list[float]]) -> dict[tuple[str, str], Point]:
    """From left to right as the groups' first steps lead, on average."""
    ordered = sorted(groups, key=lambda group: (sum(groups[group]) / len(groups[group]), group))
    return {group: Point(x, box.bottom) for group, x in zip(ordered, _ports(box, len(ordered)), strict=True)}


def _entry_ports(box: PlacedBox, coming: list[tuple[float, Arrow]]) -> list[tuple[Arrow, Point]]:
    """From left to right as the arrows come."""
    ordered = sorted(coming, key=lambda item: (item[0], item[1].kind, item[1].source))
    ports = [Point(x, box.top) for x in _ports(box, len(ordered))]
    return [(arrow, port) for (_, arrow), port in zip(ordered, ports, strict=True)]


def path(points: tuple[Point, ...], tip: float = 0.0) -> str:
    """The route as an SVG path, `tip` pixels short of its end: curves over the gaps, straight past the layers."""
    points = (*points[:-1], Point(points[-1].x, points[-1].y - tip))
    parts = [f"M {_xy(points[0])}"]
    for number, (start, end) in enumerate(pairwise(points)):
        if number % 2:
            parts.append(f"L {_xy(end)}")
        else:
            bend = (end.y - start.y) / 2
            controls = Point(start.x, start.y + bend), Point(end.x, end.y - bend)
            parts.append(f"C {_xy(controls[0])}, {_xy(controls[1])}, {_xy(end)}")
    return " ".join(parts)


def _xy(point: Point) -> str:
    return f"{point.x:.1f} {point.y:.1f}"

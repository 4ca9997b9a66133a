"""The SVG is well formed, holds every node, and its boxes and arrows lie where they should."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest

from alora_flow.language.meaning import types as t
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.views.drawing import Arrow, Box, Drawing, draw
from alora_flow.views.layout import BOX_HEIGHT, Layout, lay_out
from alora_flow.views.svg import to_svg
from tests.views.example import GRAPH, parameter

SVG = "{http://www.w3.org/2000/svg}"


def wide() -> FlowGraph:
    """The example with twelve more readers of its thread, three inputs that nobody reads, and nodes read by many."""
    nodes = dict(GRAPH.nodes)
    for number in range(12):
        nodes[f"check{number}"] = replace(nodes["safety"], id=f"check{number}")
        nodes[f"gate{number}"] = replace(nodes["if_2"], id=f"gate{number}")
    for number in range(3):
        unused = g.Input(parameter("question", t.STR))
        nodes[f"unused{number}"] = replace(nodes["question"], id=f"unused{number}", operation=unused)
    return FlowGraph(GRAPH.flow, nodes)


def parts() -> Drawing:
    """Four parts of which one has lanes: in one call, fast-sugiyama 0.5.3 mistakes a lane for a vertex of another."""
    edges = "0-1 2-5 2-6 2-11 3-10 4-16 5-7 5-8 5-9 5-15 6-11 7-11 9-10 9-12 9-15 10-12 12-15 13-14"
    boxes = tuple(Box(str(number), "value", str(number), "", "") for number in range(17))
    pairs = (edge.split("-") for edge in edges.split())
    return Drawing("parts", "parts() -> str", boxes, tuple(Arrow(source, target, "data") for source, target in pairs))


GRAPHS = {
    "parts": parts(),
    "example": draw(GRAPH),
    "wide": draw(wide()),
    "one": Drawing("one", "one() -> str", (Box("return", "return", "return", '"x"', '"x"'),), ()),
    "empty": Drawing("none", "none() -> str", (), ()),
}


@pytest.fixture(params=GRAPHS)
def drawing(request: pytest.FixtureRequest) -> Drawing:
    return GRAPHS[request.param]


@pytest.fixture
def layout(drawing: Drawing) -> Layout:
    return lay_out(drawing, 200.0)


def test_it_is_well_formed_and_holds_every_node_and_arrow(drawing: Drawing) -> None:
    root = ElementTree.fromstring(to_svg(drawing))
    groups = list(root.iter(f"{SVG}g"))
    assert [group.get("data-id") for group in groups if group.get("data-id")] == [box.id for box in drawing.boxes]
    drawn = {(group.get("data-source"), group.get("data-target")) for group in groups if group.get("data-source")}
    assert drawn == {(arrow.source, arrow.target) for arrow in drawing.arrows}


def test_no_two_boxes_overlap(layout: Layout) -> None:
    for one, other in combinations(layout.boxes, 2):
        assert abs(one.x - other.x) >= one.width or abs(one.y - other.y) >= BOX_HEIGHT, (one.box.id, other.box.id)


def test_everything_lies_within_the_picture(layout: Layout) -> None:
    for box in layout.boxes:
        assert box.x - box.width / 2 >= 0
        assert box.x + box.width / 2 <= layout.width
        assert box.top >= 0
        assert box.bottom <= layout.height
    for route in layout.routes:
        assert all(0 <= point.x <= layout.width for point in route.points)


def test_arrows_go_down_from_the_bottom_of_their_source_to_the_top_of_their_target(layout: Layout) -> None:
    boxes = {box.box.id: box for box in layout.boxes}
    for route in layout.routes:
        source, target = boxes[route.arrow.source], boxes[route.arrow.target]
        (start_x, start_y), (end_x, end_y) = route.points[0], route.points[-1]
        assert start_y == source.bottom
        assert abs(start_x - source.x) < source.width / 2
        assert end_y == target.top
        assert abs(end_x - target.x) < target.width / 2
        heights = [point.y for point in route.points]
        assert heights == sorted(heights)


def test_arrows_pass_beside_boxes(layout: Layout) -> None:
    for route in layout.routes:
        for box in layout.boxes:
            for lane in route.points[1:-1]:
                assert not (abs(lane.y - box.y) <= BOX_HEIGHT / 2 and abs(lane.x - box.x) < box.width / 2)


def test_the_same_graph_always_gives_the_same_picture() -> None:
    assert to_svg(draw(wide())) == to_svg(draw(wide()))


def test_text_is_escaped_and_kept_whole_in_the_tooltip() -> None:
    root = ElementTree.fromstring(to_svg(draw(GRAPH)))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert 'ask (thread): system("You answer.") + history + user(question)' in titles
    assert any("<b>" in (title or "") for title in titles)


def test_there_is_a_title_and_a_legend_of_what_occurs() -> None:
    root = ElementTree.fromstring(to_svg(draw(GRAPH)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[:2] == ["rag", "rag(question: str, history: chat) -> str"]
    legend = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "legend"]
    assert legend[:4] == ["reads a value", "extends a thread", "runs only if", "input of the flow"]
    assert "requirement" not in legend

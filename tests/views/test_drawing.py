"""What is drawn: boxes, arrows, and only the guards that do not follow from others."""

from __future__ import annotations

from dataclasses import replace

from alora_flow.planning.graph import nodes as g
from alora_flow.views.drawing import Arrow, draw, shorten, tidy
from alora_flow.views.graph_text import needs
from alora_flow.views.style import ARROWS, NODES
from tests.views.example import GRAPH


def test_every_node_is_a_box_in_the_order_of_the_source() -> None:
    assert [box.id for box in draw(GRAPH).boxes] == list(GRAPH.nodes)


def test_labels_say_what_is_called() -> None:
    details = {box.id: box.detail for box in draw(GRAPH).boxes}
    assert details["safety"] == "safety() → bool"
    assert details["found"] == "search() → list[document]"
    assert details["reply"] == "generate() → reply"
    assert details["history"] == "chat = []"
    assert details["if_2"] == "sure > 0.5"


def test_a_guard_that_a_read_node_has_already_is_not_drawn() -> None:
    guards = [arrow for arrow in draw(GRAPH).arrows if arrow.kind == "guard"]
    assert guards == [
        Arrow("if", "return", "guard", "yes"),
        Arrow("if", "query", "guard", "no"),
        Arrow("if_2", "return_2", "guard", "yes"),
        Arrow("if_2", "return_3", "guard", "no"),
    ]


def test_both_ways_out_of_one_condition_are_drawn_where_they_meet() -> None:
    merge = replace(
        GRAPH.nodes["return"], id="merge", guards=(), operation=g.Merge(((g.Guard("if"),), (g.Guard("if", False),)))
    )
    drawing = draw(g.FlowGraph(GRAPH.flow, {**GRAPH.nodes, "merge": merge}))
    met = [arrow.label for arrow in drawing.arrows if arrow.target == "merge"]
    assert met == ["yes", "no"]


def test_every_kind_of_node_and_arrow_has_a_style() -> None:
    kinds = {operation.__name__.lower() for operation in g.Operation.__args__}
    assert kinds <= set(NODES)
    assert {"data", "thread", "guard"} == set(ARROWS)


def test_text_is_one_printable_line() -> None:
    assert tidy("a\n\t b\x00\u202ec") == "a b\ufffd\ufffdc"
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"


def test_many_sources_are_counted() -> None:
    arrows = [Arrow(f"n{number}", "x", "data") for number in range(9)]
    assert needs([*arrows, Arrow("if", "x", "guard", "no")]) == "← n0, n1, n2, n3, n4, 4 more  unless if"

"""What a model may call in the middle of an answer is drawn inside the node that writes it, in every format."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from alora_flow.planning.compilation import Compilation
from alora_flow.views.table import VIEWS, Subject

FLOW = """
model base = "mini"
tool look(n: int[0..9]) -> int = python "kb:look" with (pure: true, invoke: "<|reserved_0|>")
intrinsic certainty() -> float { adapter "uncertainty" emits int[0..9] value it / 10 }
intrinsic judge() -> bool { adapter "hallucination" emits bool may invoke [certainty, judge] depth 2 }
flow main(q: str) -> str {
  let reply = generate(max_tokens: 9) on user(q) may invoke [judge, look] budget 3
  let all = for i in [1, 2] limit 2 { let r = generate(max_tokens: 3) on user(q) may invoke [look] keep r.text }
  return reply.text + all[0]
}
"""


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    path = tmp_path / "main.flow"
    path.write_text(FLOW)
    return Subject(Compilation(path))


def shown(subject: Subject, form: str) -> str:
    return VIEWS["graph", form](subject)


def test_svg(subject: Subject) -> None:
    root = ElementTree.fromstring(shown(subject, "svg"))
    name = "{http://www.w3.org/2000/svg}g"
    [reply] = [item for item in root.iter(name) if item.get("data-id") == "reply"]
    frame = box(reply)
    calls = [item for item in reply.findall(name) if "call" in str(item.get("class"))]
    assert [call.get("data-name") for call in calls] == ["judge", "look"]
    inner = calls[0].findall(name)
    assert [call.get("data-name") for call in inner] == ["certainty", "judge"]
    assert all(inside(box(call), frame) for call in calls)
    assert all(inside(box(call), box(calls[0])) for call in inner)
    assert not overlap(box(calls[0]), box(calls[1]))


Frame = tuple[float, float, float, float]


def box(item: ElementTree.Element) -> Frame:
    rectangle = item.find("{http://www.w3.org/2000/svg}rect")
    assert rectangle is not None
    x, y, width, height = (float(str(rectangle.get(key))) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def inside(one: Frame, other: Frame) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one[2] <= other[2] and one[3] <= other[3]


def overlap(one: Frame, other: Frame) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_dot_and_mermaid(subject: Subject) -> None:
    dot, mermaid = shown(subject, "dot"), shown(subject, "mermaid")
    assert 'subgraph "cluster reply" {' in dot
    assert 'subgraph "cluster reply / judge" {' in dot
    assert dot.count("{") == dot.count("}")
    assert (
        len(re.findall(r"^ *subgraph ", mermaid, re.MULTILINE))
        == len(re.findall(r"^ *end$", mermaid, re.MULTILINE))
        == 2
    )
    assert "classDef tool_" in mermaid
    assert '"reply" -> "return"' in dot  # arrows are those of the node


def test_a_loop_names_what_is_called_in_it(subject: Subject) -> None:
    assert "for each of up to 2: generate, look" in shown(subject, "dot")

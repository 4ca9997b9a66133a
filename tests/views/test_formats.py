"""DOT and Mermaid as a whole (in golden/; ALORA_FLOW_UPDATE=1 rewrites them), and what each format escapes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alora_flow.views.dot import quoted, to_dot
from alora_flow.views.drawing import draw
from alora_flow.views.mermaid import escaped, to_mermaid
from alora_flow.views.table import VIEWS, format_of, formats
from tests.views.example import GRAPH

DRAW = {"dot": to_dot, "mermaid": to_mermaid}
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "file"), [("dot", "rag.dot"), ("mermaid", "rag.mmd")])
def test_the_whole_text(name: str, file: str) -> None:
    path, text = GOLDEN / file, DRAW[name](draw(GRAPH))
    if "ALORA_FLOW_UPDATE" in os.environ:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_dot_escapes_quotes_and_backslashes() -> None:
    assert quoted('say "\\N"', "b") == r'"say \"\\N\"\nb"'


def test_mermaid_escapes_html_markdown_and_its_own_escape() -> None:
    assert escaped('a < "b" & #9; `c` \\n *d*') == ("a #60; #34;b#34; #38; #35;9; #96;c#96; #92;n #42;d#42;")


def test_a_files_ending_tells_the_format() -> None:
    assert format_of(Path("x.SVG"), "graph") == "svg"
    assert format_of(Path("x.mmd"), "graph") == "mermaid"
    assert format_of(Path("x.gv"), "graph") == "dot"
    assert format_of(Path("x.png"), "graph") is None
    assert format_of(Path("x.json"), "graph") is None
    assert formats("graph") == ["text", "dot", "mermaid", "svg"]
    assert {stage for stage, _ in VIEWS} == {"tokens", "tree", "program", "graph", "schedule", "plan"}

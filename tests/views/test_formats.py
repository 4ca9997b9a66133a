"""DOT and Mermaid as a whole (in golden/; ALORA_FLOW_UPDATE=1 rewrites them), and what each format escapes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alora_flow.views.dot import quoted
from alora_flow.views.formats import FORMATS, format_of, render
from alora_flow.views.mermaid import escaped
from tests.views.example import GRAPH

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "file"), [("dot", "rag.dot"), ("mermaid", "rag.mmd")])
def test_the_whole_text(name: str, file: str) -> None:
    path, text = GOLDEN / file, render(GRAPH, name)
    if "ALORA_FLOW_UPDATE" in os.environ:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_dot_escapes_quotes_and_backslashes() -> None:
    assert quoted('say "\\N"', "b") == r'"say \"\\N\"\nb"'


def test_mermaid_escapes_html_markdown_and_its_own_escape() -> None:
    assert escaped('a < "b" & #9; `c` \\n *d*') == ("a #60; #34;b#34; #38; #35;9; #96;c#96; #92;n #42;d#42;")


def test_a_files_ending_tells_the_format() -> None:
    assert format_of(Path("x.SVG")) == "svg"
    assert format_of(Path("x.mmd")) == "mermaid"
    assert format_of(Path("x.gv")) == "dot"
    assert format_of(Path("x.png")) is None
    assert list(FORMATS) == ["dot", "mermaid", "svg"]

"""Case files: a flow each, with the plan that it has beside it. `pytest tests/planning --update` writes them anew."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from alora_flow.execution.inputs import check_inputs
from alora_flow.planning.compilation import Compilation
from alora_flow.views.drawing import draw
from alora_flow.views.plan_text import show_plan

CASES = sorted((Path(__file__).parents[1] / "cases" / "plan").glob("*.flow"))


def shown(path: Path) -> str:
    """Graph and plan of the file's main flow, with its defaults as inputs."""
    compilation = Compilation(path)
    flow = compilation.flow(None)
    known = check_inputs(flow, {}, complete=False)
    out = StringIO()
    show_plan(
        Console(file=out, width=100, color_system=None), draw(compilation.graph(flow)), compilation.plan(flow, known)
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip() + "\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_is_as_expected(path: Path, update: bool) -> None:
    expected = path.with_suffix(".expected")
    if update:
        expected.write_text(shown(path))
    assert shown(path) == expected.read_text()


def test_there_are_cases() -> None:
    assert len(CASES) >= 6

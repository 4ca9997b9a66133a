"""Every command once as a user starts it: the installed program, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.cli.main import COMMANDS
from tests.command import cold

FLOW = 'model base = "mini"\nflow two() -> int { return 2 }\ntest "it is two" { let r = two()  expect r == 2 }\n'
CALLS = {
    "check": (["check", "two.flow"], "checked 1 file: no errors"),
    "fmt": (["fmt", "--check", "two.flow"], "would change"),
    "graph": (["graph", "two.flow"], "flowchart TD"),
    "mini": (["mini", "--help"], "Usage: alora-flow mini"),
    "plan": (["plan", "two.flow"], "two() -> int"),
    "run": (["run", "safety_rag.flow"], "supported: true"),
    "show": (["show", "graph", "two.flow"], "flow two"),
    "test": (["test", "two.flow", "--echo"], "1 passed"),
}


def test_every_command_is_here() -> None:
    assert CALLS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_it_runs_in_a_process_of_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "two.flow").write_text(FLOW)
    arguments, said = CALLS[name]
    done = cold(*arguments, cwd=tmp_path)
    assert said in done.stdout + done.stderr
    assert done.code == (1 if name == "fmt" else 0), done.stderr

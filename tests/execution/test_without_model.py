"""A file that names no model: flows that call none run, and what needs one says so."""

from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import BadInput
from alora_flow.testing import run_tests

FLOW = """
flow add(a: int, b: int = 2) -> int { return a + b }
flow ask(question: str) -> str { return (generate() on user(question)).text }
test "it adds" { expect add(a: 1) == 3 }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sum.flow"
    file.write_text(FLOW)
    return file


def test_a_flow_that_calls_no_model_runs(path: Path) -> None:
    assert alora_flow.load(path).add(a=1).value == 3


def test_so_do_its_tests(path: Path) -> None:
    module = alora_flow.load(path)
    assert [result.outcome for result in run_tests(module, list(module.compilation.program.tests))] == ["passed"]


def test_a_call_of_a_model_names_what_is_missing(path: Path) -> None:
    with pytest.raises(BadInput, match="names no model"):
        alora_flow.load(path).ask(question="Who?")

"""Mocks that have a model call in the middle of its answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.testing import TestResult, run_tests
from tests.execution.test_own_calls import HEAD

MOCKED = (
    HEAD
    + """
flow asked(q: str, low: float = 0.5) -> str {
  let reply = generate(max_tokens: 24) on user(q) may invoke [certainty, safety] budget 2 {
    on certainty(v) when v < low => stop
    on safety => drop
  }
  let how = for one in reply.invocations limit 2 { keep "{one.name} {one.value} {one.action}" }
  return "{reply.text} {how}"
}
"""
)
MOCKS = [
    ('mock generate() = "A." then invoke certainty then "B."  mock certainty() = 0.2', 'A. ["certainty 0.2 stop"]'),
    ('mock generate() = "A." then invoke certainty then "B."  mock certainty() = 0.9', 'A.B. ["certainty 0.9 keep"]'),
    ('mock generate() = "A." then invoke safety', 'A. ["safety true drop"]'),
    ('mock generate() = "A."', "A. []"),
    ('mock generate() = "" then invoke certainty  mock certainty() = 0.9', ' ["certainty 0.9 keep"]'),
]


def outcomes(path: Path) -> list[TestResult]:
    module = Module(Compilation(path))
    return list(run_tests(module, list(module.compilation.program.tests)))


@pytest.mark.parametrize(("mocks", "said"), MOCKS)
def test_mocks_script_calls(tmp_path: Path, mocks: str, said: str) -> None:
    path = tmp_path / "main.flow"
    path.write_text(f'{MOCKED}\ntest "t" {{ {mocks} expect asked(q: "?") == {json.dumps(said)} }}\n')
    assert [(result.outcome, result.message) for result in outcomes(path)] == [("passed", "")]


REFUSED_MOCKS = [
    ('mock generate() = "A." then invoke other', "may not"),
    ('mock generate() = "A." then invoke certainty  mock certainty() fails "no luck"', "no luck"),
    (
        'mock certainty() = 1.0 mock generate() = "" then invoke certainty then invoke certainty then invoke certainty',
        "the budget is spent: 2 of 2 calls made",
    ),
]


@pytest.mark.parametrize(("mocks", "said"), REFUSED_MOCKS)
def test_mocks_that_no_generation_can_follow(tmp_path: Path, mocks: str, said: str) -> None:
    path = tmp_path / "main.flow"
    other = 'intrinsic other() -> bool { adapter "safety" emits bool }'
    path.write_text(f'{MOCKED}{other}\ntest "t" {{ {mocks} expect asked(q: "?") == "" }}\n')
    [result] = outcomes(path)
    assert result.outcome == "error"
    assert said in result.message

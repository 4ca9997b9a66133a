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


COUNTED = [
    ('"A." then invoke certainty then invoke safety', "calls(certainty) == 1 and calls(safety) == 1"),
    ('"A."', "calls(certainty) == 0 and calls(generate) == 1"),
    ('"A." then invoke certainty then invoke certainty', "calls(certainty) == 2 and calls(generate) == 1"),
]


@pytest.mark.parametrize(("script", "expected"), COUNTED)
def test_calls_counts_what_the_model_calls(tmp_path: Path, script: str, expected: str) -> None:
    """Those that a mock answers, and those of the real adapter."""
    path = tmp_path / "main.flow"
    test = f'mock certainty() = 0.9 mock generate() = {script} let r = asked(q: "?") expect len(r) > 0 and {expected}'
    path.write_text(f'{MOCKED}\ntest "t" {{ {test} }}\n')
    assert [(result.outcome, result.message) for result in outcomes(path)] == [("passed", "")]


def test_calls_of_a_flow_and_of_a_model_count_together(tmp_path: Path) -> None:
    path = tmp_path / "main.flow"
    (tmp_path / "kb.py").write_text("def look(n): return n + 1")
    path.write_text(
        HEAD
        + """
tool look(n: int[0..9]) -> int = python "kb:look" with (invoke: "<|reserved_0|>")
intrinsic judge() -> bool { adapter "hallucination" emits bool may invoke [certainty] }
flow asked(q: str) -> int {
  let first = look(1)
  let reply = generate() on user(q) may invoke [look, judge]
  let sure = certainty() on reply
  return first
}
test "t" {
  mock generate() = "A" then invoke look(4) then invoke look(n: 5) then invoke judge
  mock judge() = true
  mock certainty() = 0.5
  let r = asked("?")
  expect calls(look) == 3 and calls(judge) == 1 and calls(certainty) == 1
}
"""
    )
    assert [(result.outcome, result.message) for result in outcomes(path)] == [("passed", "")]

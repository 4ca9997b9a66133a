"""`generate(…) on t may invoke […] else { … }`: what fails in the middle of an answer is handled as any failure is."""

from __future__ import annotations

from pathlib import Path

import pytest

import alora_flow
from alora_flow.testing import run_tests
from tests.execution.test_own_calls import HEAD

FLOWS = """
tool look(q: str) -> str = python "lost:look" with (invoke: "<|reserved_0|>")
flow said(q: str) -> str {
  let r = generate(max_tokens: 99) on user(q) may invoke [certainty, safety, look] budget 2 {
    on safety(v) when not v => stop
  } else as why { return why }
  return r.text
}
flow counted(q: str) -> int {
  return generate(max_tokens: 99) as int[0..9] on user(q) may invoke [certainty] { on certainty => stop } else { 7 }
}
flow asked(q: str) -> str {
  let r = repeat (text = q) up to 2 {
    accept generate(max_tokens: 9) on user(text) may invoke [safety] else { generate() on user("again") }
  } else { return "" }
  return r.text
}
"""
TESTS = {
    "a mock that fails": ('mock generate() fails "cut"', 'said("?") == "cut"'),
    "more calls than the budget has": (
        'mock generate() = "a" then invoke certainty then invoke certainty then invoke certainty',
        'len(said("?")) > 40',
    ),
    "a tool that fails": (
        'mock look() fails "no network"\n  mock generate() = "a" then invoke look("x")',
        'ends_with(said("?"), "no network")',
    ),
    "an intrinsic that fails": (
        'mock certainty() fails "no weights"\n  mock generate() = "a" then invoke certainty',
        'ends_with(said("?"), "no weights")',
    ),
    "text that is stopped": (
        'mock safety() = false\n  mock generate() = "a" then invoke safety then "b"',
        'said("?") == "a"',
    ),
    "a number that is stopped": ('mock generate() = "" then invoke certainty', 'counted("?") == 7'),
    "a number": ("mock generate() = 3", 'counted("?") == 3'),
    "another generation": ('mock generate(max_tokens: 9) fails "x"\n  mock generate() = "b"', 'asked("?") == "b"'),
}


@pytest.mark.parametrize("name", TESTS)
def test_an_else_handles(tmp_path: Path, name: str) -> None:
    mocks, expected = TESTS[name]
    path = tmp_path / "main.flow"
    path.write_text(f'{HEAD}{FLOWS}test "t" {{\n  {mocks}\n  expect {expected}\n}}\n')
    with alora_flow.load(path, backend="echo") as module:
        (told,) = run_tests(module, list(module.compilation.program.tests))
    assert (told.outcome, told.message) == ("passed", "")

"""`alora-flow test`: mocks, expectations, output and exit codes."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from unittest import mock
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from alora_flow.cli.test import command
from alora_flow.errors import BadInput
from alora_flow.intrinsics.library import BUNDLED
from alora_runtime.engine import Engine

HEAD = """
model base = "mini"
enum Stage { input, output }
record Refusal { stage: Stage }
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
intrinsic hallucination() -> prob[bool] from "hallucination"
tool search(q: str, k: int = 2) -> list[document] = python "nowhere:search" with (pure: true)
flow ask(question: str) -> str | Refusal {
  thread asked = user(question)
  if not safety() on asked { return Refusal(stage: input) }
  let found = search(question)
  let reply = generate(max_tokens: 8) on (asked + documents(found))
  let wrong = hallucination() on reply
  if wrong.p(true) > 0.5 { return Refusal(stage: output) }
  return reply.text
}
flow twice(question: str) -> str | Refusal { let a = ask(question: question)  return ask(question: question) }
"""
PASSING = """
test "mocked intrinsics decide" {
  mock safety() = false
  let r = ask(question: "anything")
  expect r is Refusal and r.stage == input
  expect calls(search) == 0 and calls(generate) == 0 and calls(ask) == 1
}
test "a distribution is mocked by its probability" {
  mock search() = []
  mock hallucination() = 0.7
  let r = ask(question: "anything")
  expect r is Refusal and r.stage == output
}
test "a rule with arguments answers only calls that have them" {
  mock search() = []
  mock search(q: "b") = [document("found")]
  mock generate() = "first" then "second"
  mock hallucination() = false
  let a = ask(question: "b")
  let b = twice(question: "a")
  expect a is str and b is str
  expect calls(search) == 3 and calls(generate) == 3
}
test "a mocked flow is not run" {
  mock ask() = "mocked"
  let r = twice(question: "x")
  expect r == "mocked" and calls(generate) == 0 and calls(ask) == 2
}
test "figures" {
  mock search() = []
  let r = ask(question: "a question that is long enough to matter")
  expect plan.invokes == 2 and plan.nodes == 3 and plan.generated == 10
  expect plan.reused > 0.3
}
"""
FAILING = """
test "wrong" {
  mock safety() = false
  let r = ask(question: "anything")
  expect r is Refusal and r.stage == output
}
test "breaks" { let r = ask(question: "anything")  expect r is str }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.flow").write_text(HEAD + PASSING)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["--echo", *arguments])


def test_all_pass(folder: Path) -> None:
    done = run(str(folder))  # there is no module "nowhere": a tool that is mocked is never imported
    assert done.exit_code == 0, done.output
    assert "good.flow ....." in done.output
    assert "5 passed in" in done.output


def test_failures_show_the_place_and_the_values(folder: Path) -> None:
    (folder / "nowhere.py").write_text("def search(q, k): raise OSError('the index is away')\n")
    (folder / "good.flow").write_text(HEAD + FAILING)
    done = run(str(folder / "good.flow"), "--junit", str(folder / "out.xml"))
    assert done.exit_code == 1
    assert "FAILED" in done.output
    assert 'r.stage = "input"' in done.output
    assert "tool 'search' raised OSError: the index is away" in done.output
    assert "1 failed, 1 error in" in done.output
    suite = ElementTree.parse(folder / "out.xml").getroot()
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "1",
        "errors": "1",
    }
    assert [child.tag for case in suite for child in case] == ["failure", "error"]


def test_k_chooses_and_nothing_chosen_is_exit_5(folder: Path) -> None:
    assert "1 passed" in run(str(folder), "-k", "FIGURES", "-k", "mocked intrinsics").output
    done = run(str(folder), "-k", "no such test")
    assert (done.exit_code, "no tests ran" in done.output) == (5, True)


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(folder: Path) -> None:
    for path, said in ((folder / "no" / "x.xml", "there is no folder"), (folder, "Is a directory")):
        done = run(str(folder), "--junit", str(path))
        assert isinstance(done.exception, BadInput)
        assert said in done.exception.message
    assert "passed" not in run(str(folder), "--junit", str(folder / "no" / "x.xml")).output


def test_files_on_one_model_are_tested_on_one_engine(tmp_path: Path) -> None:
    copytree(BUNDLED["mini"], tmp_path / "model")  # on which no earlier test has left an engine
    for name in ("one", "two"):
        text = f'model base = "model"\nflow {name}() -> str {{ return (generate(max_tokens: 1) on user("x")).text }}\n'
        (tmp_path / f"{name}.flow").write_text(f'{text}test "it writes" {{ expect {name}() != "" }}\n')
    with mock.patch.object(Engine, "__init__", autospec=True, side_effect=Engine.__init__) as opened:
        result = CliRunner().invoke(command, [str(tmp_path)])
    assert "2 passed" in result.output
    assert opened.call_count == 1

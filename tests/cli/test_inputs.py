"""Inputs on the command line that do not fit, and what their callers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import warm

TYPED = """
enum Kind { question = "A question", order }
record P { a: int }
flow one(n: int[3..] = 3, x: float? = 0.5, xs: list[list[str]] = [], k: list[Kind] = [], p: P?, h: chat = []) -> int {
  return n
}
flow two() -> int { return 2 }
"""


@pytest.mark.parametrize(
    ("given", "help"),
    [
        ("n=two", "'n=3'"),
        ("x=.5", "'x=0.5'"),
        ("xs=a,b", """'xs=[["text"]]'"""),
        ("k=order,question", """'k=["A question"]'"""),
        ("p=a", "'p={…}'"),
        ("h=hello", "'h=[{…}]'"),
    ],
)
def test_an_input_that_is_no_json_is_told_its_form(tmp_path: Path, given: str, help: str) -> None:
    (tmp_path / "typed.flow").write_text(TYPED)
    done = warm("run", "typed.flow", "one", "--input", given, cwd=tmp_path)
    assert done.code == 1
    assert f"which is no JSON\nhelp: write it as in {help}\n" in done.stderr


def test_a_flow_is_named_where_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "typed.flow").write_text(TYPED)
    done = warm("run", "typed.flow", cwd=tmp_path)
    said = "error: typed.flow has several flows, none of them named like the file: one, two\nhelp: name one\n"
    assert (done.code, done.stderr) == (1, said)


def test_empty_inputs_are_named(tmp_path: Path) -> None:
    (tmp_path / "typed.flow").write_text(TYPED)
    (tmp_path / "empty.json").write_text("\n")
    done = warm("run", "typed.flow", "one", "--inputs", "empty.json", cwd=tmp_path)
    assert (done.code, done.stderr.splitlines()[0]) == (1, "error: empty.json is empty")

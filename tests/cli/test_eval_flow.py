"""`alora-flow eval flow`: a flow on rows of a file, its results against a column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import warm

FLOW = """
enum Kind { small, large = "LARGE" }
record Found { size: int }
record Lost { why: str }

flow truth(n: int) -> bool { return n > 2 }
flow number(n: int) -> float { return n / 4.0 }
flow kind(n: int) -> Kind { if n > 2 { return large } return small }
flow either(n: int) -> Found | Lost { if n > 2 { return Found(size: n) } return Lost(why: "small") }
flow picky(n: int) -> int {
  require n > 1 else "too small"
  return n
}
flow said(c: chat) -> int { return len(c) }
"""
ROWS = [
    {"n": 1, "big": False, "label": "N", "kind": "small", "record": "Lost", "exact": {"why": "small"}, "source": "a"},
    {"n": 2, "big": True, "label": "Y", "kind": "LARGE", "record": "Found", "exact": {"why": "tiny"}, "source": "a"},
    {"n": 3, "big": True, "label": "Y", "kind": "LARGE", "record": "Found", "exact": {"size": 3}, "source": "b"},
    {"n": 4, "big": True, "label": "Y", "kind": "LARGE", "record": "Found", "exact": {"size": 4}, "source": "b"},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A flow file and its rows."""
    (tmp_path / "f.flow").write_text(FLOW)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return str(tmp_path / "f.flow"), str(tmp_path / "rows.jsonl")


def figures(files: tuple[str, str], name: str, *arguments: str) -> Any:
    done = warm("eval", "flow", files[0], name, "--data", files[1], *arguments, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("truth", ["--column", "big"], 0.25),
        ("truth", ["--column", "label", "--true", "Y"], 0.25),
        ("number", ["--column", "big", "--true", "Y"], 0.0),
        ("number", ["--column", "big"], 0.0),
        ("kind", ["--column", "kind"], 0.25),
        ("either", ["--column", "record"], 0.25),
        ("either", ["--column", "exact"], 0.25),
        ("picky", ["--column", "n"], 0.25),
        ("number", ["--column", "n"], 0.75 + 0.25),
        ("truth", ["--column", "big", "--input", "n=exact.size"], None),
    ],
)
def test_results_are_held_against_a_column(
    files: tuple[str, str], name: str, arguments: list[str], error: float | None
) -> None:
    if error is None:
        done = warm("eval", "flow", files[0], name, "--data", files[1], *arguments)
        assert done.code == 1
        assert "rows.jsonl, line 1 has no column 'exact.size'" in done.stderr
        return
    found = figures(files, name, *arguments)
    assert found["figures"]["error"]["value"] == error
    assert found["rows"] == 4
    assert {source: own["rows"] for source, own in found["parts"].items()} == {"a": 2, "b": 2}


def test_a_number_is_measured_as_a_probability(files: tuple[str, str], tmp_path: Path) -> None:
    found = figures(files, "number", "--column", "big", "--true", "Y", "--svg", str(tmp_path / "r.svg"))["figures"]
    assert found["brier"]["value"] == pytest.approx((0.25**2 + 0.5**2 + 0.25**2 + 0) / 4)
    assert found["auroc"]["value"] == 1.0
    assert "number (4 rows)" in (tmp_path / "r.svg").read_text()


def test_failed_rows_are_counted_and_named(files: tuple[str, str]) -> None:
    done = warm("eval", "flow", files[0], "picky", "--data", files[1], "--column", "n")
    assert done.code == 0
    assert "25.0 %" in done.stdout
    assert "1 row failed, and counts as wrong:" in done.stderr
    assert "rows.jsonl, line 1: line 11: too small" in done.stderr
    (failed,) = figures(files, "picky", "--column", "n")["failed"]
    assert failed["where"].endswith("rows.jsonl, line 1")


def test_an_input_may_be_a_part_of_a_column(files: tuple[str, str]) -> None:
    rows = [{"row": [{"messages": [{"role": "user", "content": "Hi"}] * n}], "n": n} for n in (1, 2)]
    Path(files[1]).write_text("\n".join(map(json.dumps, rows)))
    assert figures(files, "said", "--column", "n", "--input", "c=row.0.messages")["figures"]["error"]["value"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--column", "nothing"), 1, "line 1 has no column 'nothing'\nhelp: it has n, big, label"),
        (("--column", "label"), 1, "'label' is the text 'N', and the flow gives bool\nhelp: say which text is true"),
        (("--column", "label", "--true", "y"), 1, "no row's 'label' is 'y', which --true names\nhelp: there are N, Y"),
        (("--column", "big", "--input", "n"), 2, "'n' is not of the form name=column"),
        (("--column", "big", "--input", "m=n"), 2, "flow 'truth' has no input 'm'"),
        (("--column", "big", "--input", "n=label"), 1, "line 1: input 'n' of flow 'truth' wants int, got 'N'"),
        (("--column", "big", "--svg", "x.svg"), 1, "leave --svg out"),
        (("--column", "big", "--data", "none.jsonl"), 1, "none.jsonl can't be read"),
    ],
)
def test_mistakes(files: tuple[str, str], arguments: tuple[str, ...], code: int, said: str) -> None:
    done = warm("eval", "flow", files[0], "truth", "--data", files[1], *arguments)
    assert (done.code, "Traceback" in done.stderr) == (code, False)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1, column 2: not JSON"),
        ("[1]", "not a JSON object"),
        ("\n", "has no rows"),
        ('{"n": 1, "n": 2}', "'n' is given twice"),
    ],
)
def test_rows_that_are_none(files: tuple[str, str], text: str, said: str) -> None:
    Path(files[1]).write_text(text)
    done = warm("eval", "flow", files[0], "truth", "--data", files[1], "--column", "big")
    assert (done.code, said in done.stderr) == (1, True)


def test_a_missing_input_names_its_row(files: tuple[str, str]) -> None:
    Path(files[1]).write_text('{"big": true}')
    done = warm("eval", "flow", files[0], "truth", "--data", files[1], "--column", "big")
    assert "line 1: flow 'truth' needs input 'n'" in done.stderr
    assert "--input NAME=COLUMN" in done.stderr

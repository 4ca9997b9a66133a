"""What is on standard output: the result, whoever else prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import cold

FLOW = """
model base = "mini"
tool noisy(x: str) -> list[str] = python "noisy:noisy"
flow items(x: str) -> list[str] { return noisy(x) }
"""
LOUD = """\
import os, subprocess
from sys import stdout
print("the module says")
def noisy(x):
    print("the tool says")
    print("the stream says", file=stdout)
    os.write(1, b"the system says\\n")
    subprocess.run(["echo", "a program says"])
    return [x]
"""
SAID = ["the module says", "the tool says", "the stream says", "the system says", "a program says"]


@pytest.mark.parametrize("command", ["run", "eval"])
def test_only_the_result_is_on_stdout_whoever_prints(tmp_path: Path, command: str) -> None:
    (tmp_path / "t.flow").write_text(FLOW)
    (tmp_path / "noisy.py").write_text(LOUD)
    (tmp_path / "rows.jsonl").write_text('{"x": "a", "y": ["a"]}\n')
    rows = ["--data", "rows.jsonl", "--column", "y", "--json"]
    arguments = {
        "run": ["run", "t.flow", "items", "--input", "x=a"],
        "eval": ["eval", "flow", "t.flow", "items", *rows],
    }
    done = cold(*arguments[command], "--echo", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)
    assert [line for line in SAID if line not in done.stderr] == []


@pytest.mark.parametrize(("closed", "expected"), [("2>&-", "2\n"), (">&-", ""), (">&- 2>&-", "")])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: str, expected: str) -> None:
    (tmp_path / "two.flow").write_text("flow two() -> int { return 2 }")
    command = f"{Path(sys.executable).parent / 'alora-flow'} run two.flow --quiet {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")

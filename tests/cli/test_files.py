"""Which flow files a command works on: folders, standard input, broken ones among good ones; `new` and `list`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import cold, warm

GOOD = 'flow good() -> int {\n  return 2\n}\n\ntest "two" {\n  let r = good()\n  expect r == 2\n}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good file, one that can't be read, one with a wrong name, and one that is nobody's business."""
    for name, text in {
        "b/good.flow": f'model base = "mini"\n\n{GOOD}',
        "a.flow": "flow a( {\n",
        "c.flow": "flow c()->int { return zz }\n",
        ".hidden/d.flow": "flow d( {\n",
        "notes.txt": "flow e( {\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_check_goes_through_a_folder(folder: Path) -> None:
    done = warm("check", ".", "a.flow", cwd=folder)
    assert done.code == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if "-->" in line] == ["a.flow:1:9", "c.flow:1:24"]
    assert done.stderr == "checked 3 files: 2 errors\n"
    assert warm("check", "b", cwd=folder) == (0, "", "checked 1 file: no errors\n")


def test_fmt_writes_what_can_be_read(folder: Path) -> None:
    done = warm("fmt", ".", cwd=folder)
    assert (done.code, "changed c.flow" in done.stderr) == (1, True)
    assert (folder / "c.flow").read_text() == "flow c() -> int {\n  return zz\n}\n"
    assert [(folder / name).read_text() for name in ("a.flow", ".hidden/d.flow")] == ["flow a( {\n", "flow d( {\n"]


def test_a_broken_file_does_not_stop_the_tests_of_the_others(folder: Path) -> None:
    done = warm("test", ".", "--junit", "out.xml", cwd=folder)
    assert done.code == 1
    assert "a.flow E\nb/good.flow .\nc.flow E\n" in done.stdout
    assert "unknown name 'zz'" in done.stdout
    assert "2 errors, 1 passed" in done.stdout
    assert 'tests="3"' in (folder / "out.xml").read_text()


@pytest.mark.parametrize("command", ["check", "fmt", "test"])
def test_a_folder_without_flow_files(tmp_path: Path, command: str) -> None:
    done = warm(command, str(tmp_path))
    assert (done.code, done.stderr.splitlines()[0]) == (1, f"error: there are no flow files in {tmp_path}")


def test_standard_input_is_a_flow_file(tmp_path: Path) -> None:
    assert cold("check", "-", stdin=GOOD).code == 0
    wrong = cold("check", "-", stdin="flow c() -> int { return zz }")
    assert (wrong.code, "<stdin>:1:26" in wrong.stdout) == (1, True)
    assert cold("fmt", "-", stdin=GOOD.replace("  ", "")) == (0, GOOD, "")
    assert cold("fmt", "--check", "-", stdin=GOOD).code == 0
    assert cold("fmt", "--check", "-", stdin=f"{GOOD}\n\n").code == 1
    assert "good() -> int" in cold("graph", "-", stdin=GOOD).stdout
    assert "flow good" in cold("show", "graph", "-", stdin=GOOD).stdout
    planned = cold("plan", "-", stdin=f'model base = "mini"\n{GOOD}')
    assert (planned.code, planned.stdout.splitlines()[0]) == (0, "good() -> int")
    assert cold("run", "-", "-q", stdin=f'model base = "mini"\n{GOOD}') == (0, "2\n", "")


NAMES = """\
import "lib.flow" as lib
tool twice(n: int) -> int = python "tools:twice"
flow f(n: int = 2) -> int { return twice(lib.more(n)) }
"""


@pytest.mark.parametrize("command", [("check", "-"), ("run", "-", "-q"), ("plan", "-"), ("list", "-"), ("test", "-")])
def test_what_standard_input_names_lies_in_this_folder(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "lib.flow").write_text("flow more(n: int) -> int { return n + 1 }")
    (tmp_path / "tools.py").write_text("def twice(n): return n * 2")
    done = cold(*command, cwd=tmp_path, stdin=NAMES + 'test "six" { expect f() == 6 }')
    assert done.code == 0, done.stderr
    wrong = cold(*command, cwd=tmp_path, stdin=NAMES.replace("(n)) }", "(m)) }"))
    assert (wrong.code, "<stdin>:3:51" in wrong.stdout + wrong.stderr) == (1, True)


def test_inputs_from_standard_input_and_silence(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text('model base = "mini"\nflow f(n: int) -> int { return n + 1 }')
    assert cold("run", "f.flow", "--quiet", "--inputs", "-", cwd=tmp_path, stdin='{"n": 3}') == (0, "4\n", "")
    wrong = cold("run", "f.flow", "--quiet", "--inputs", "-", cwd=tmp_path, stdin='{"n": ')
    assert (wrong.code, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: <stdin>:1:7: not JSON")
    assert warm("run", "safety_rag.flow", "-q", "--echo").stderr == ""


def test_a_new_file_is_a_good_one(tmp_path: Path) -> None:
    assert warm("new", "greet", cwd=tmp_path).code == 0
    for command in (("check", "."), ("fmt", "--check", "."), ("test", "."), ("run", "greet.flow")):
        done = warm(*command, cwd=tmp_path)
        assert done.code == 0, done
    (tmp_path / "greet.flow").write_text("mine")
    again = warm("new", "greet.flow", cwd=tmp_path)
    assert (again.code, "greet.flow is there already" in again.stderr) == (1, True)
    assert (tmp_path / "greet.flow").read_text() == "mine"


@pytest.mark.parametrize("name", ["my-flow", "1st", "return", "", "no/x"])
def test_a_new_file_that_cannot_be(tmp_path: Path, name: str) -> None:
    done = warm("new", name, cwd=tmp_path)
    assert (done.code, done.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert done.stderr.startswith("error: ")


def test_list(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text(
        "## Adds.\n## Much more.\nflow add(n: int, k: int = 1) -> int { return n + k }\n"
        "flow two() -> int { return 2 }\n"
    )
    listed = warm("list", "f.flow", cwd=tmp_path)
    assert listed == (0, "add(n: int, k: int = 1) -> int\n  Adds.\ntwo() -> int\n", "")
    add, two = json.loads(warm("list", "f.flow", "--json", cwd=tmp_path).stdout)
    assert [each["required"] for each in add["parameters"]] == [True, False]
    assert two == {"name": "two", "parameters": [], "result": "int", "doc": ""}


def test_exit_codes_are_in_the_help() -> None:
    for command in ([], ["run"], ["check"], ["test"]):
        assert "130 interrupted" in " ".join(warm(*command, "--help").stdout.split()), command


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        (["run", "f.flow", "tw"], ["two"]),
        (["run", "f.flow", ""], ["add", "two"]),
        (["run", "nowhere.flow", ""], []),
        (["plan", "safe"], ["safety_rag.flow", "safe"]),
        (["list", "safe"], ["safety_rag.flow", "safe"]),
        (["li"], ["list"]),
    ],
)
def test_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str], offered: list[str]) -> None:
    (tmp_path / "f.flow").write_text("flow add() -> int { return 1 }\nflow two() -> int { return 2 }\n")
    monkeypatch.setenv("_ALORA_FLOW_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["alora-flow", *begun]))
    monkeypatch.setenv("COMP_CWORD", str(len(begun)))
    said = cold(cwd=tmp_path).stdout.split()
    assert sorted(line.partition(",")[2] for line in said) == sorted(offered)

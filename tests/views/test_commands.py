"""`graph` and `plan` from the command line: where flows and inputs come from, and what is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alora_flow.cli import graph as graph_command
from alora_flow.cli import plan as plan_command
from alora_flow.cli.files import find_flow_file
from alora_flow.cli.options import read_inputs
from alora_flow.errors import BadInput
from alora_flow.planning.compilation import Compilation
from tests.tiny import write_model_folder
from tests.views.example import FLOW

TWO = """
model base = "model"
flow one(question: str, k: int = 2) -> str {
  let first = generate(max_tokens: 8) on user(question)
  return first.text
}
flow two() -> str { return "two" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "model")
    path = tmp_path / "pair.flow"
    path.write_text(TWO)
    return path


def graph(*arguments: object) -> Result:
    return CliRunner().invoke(graph_command.command, [str(argument) for argument in arguments])


def plan(*arguments: object) -> Result:
    return CliRunner().invoke(plan_command.command, [str(argument) for argument in arguments])


def test_a_graph_is_mermaid_on_stdout_by_default(file: Path) -> None:
    result = graph(file, "one")
    assert result.exit_code == 0
    assert result.stdout.startswith('---\ntitle: "one(question: str, k: int) -> str"\n---\nflowchart TD\n')


@pytest.mark.parametrize(("name", "start"), [("x.svg", "<svg"), ("x.dot", "digraph"), ("x.mmd", "---")])
def test_a_files_ending_chooses_the_format(file: Path, tmp_path: Path, name: str, start: str) -> None:
    result = graph(file, "one", "-o", tmp_path / name)
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / name).read_text().startswith(start)


def test_an_unknown_ending_is_wrong_usage(file: Path, tmp_path: Path) -> None:
    result = graph(file, "one", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "give --format dot|mermaid|svg" in result.output
    assert not (tmp_path / "x.png").exists()


def test_a_file_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    error = graph(file, "one", "-o", tmp_path / "no" / "x.svg").exception
    assert isinstance(error, BadInput)
    assert "cannot write" in error.message
    assert "No such file" in error.message


def test_a_plan_is_printed_for_unknown_and_for_known_inputs(file: Path) -> None:
    unknown, known = plan(file, "one"), plan(file, "one", "--input", "question=Who?")
    assert "2 + |question|" not in known.stdout
    assert "+ |question|" in unknown.stdout
    assert unknown.stdout.startswith("one(question: str, k: int) -> str\n")


def test_a_plan_as_json(file: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.json"
    inputs.write_text('{"question": "ab", "k": 3}')
    content = json.loads(plan(file, "one", "--inputs", inputs, "--input", "question=abcd", "--json").stdout)
    assert content["calls"][0]["prefilled"] == {"tokens": 7, "holes": []}
    assert content["model"] == "model"


@pytest.mark.parametrize("text", ["question", "=x", "a b=c", "1=2"])
def test_a_bad_form_of_input_is_wrong_usage(file: Path, text: str) -> None:
    result = plan(file, "one", "--input", text)
    assert result.exit_code == 2
    assert "is not of the form name=value" in result.output


def test_an_input_given_twice_is_wrong_usage(file: Path) -> None:
    result = plan(file, "one", "--input", "k=1", "--input", "k=2")
    assert result.exit_code == 2
    assert "'k' is given twice" in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b": }', ":2:7: not JSON"),
        (b"[1]", "holds a list, not an object"),
        (b"null", "holds null, not an object"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_bad_inputs_file_is_named_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "inputs.json"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_inputs(FLOW, (), path)
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_an_inputs_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read .*: No such file"):
        read_inputs(FLOW, (), tmp_path / "none.json")


def test_an_input_wins_over_the_file_and_keeps_what_follows_the_first_equals_sign(tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a", "other": [1]}')
    assert read_inputs(FLOW, ("question=b=c",), path) == {"question": "b=c", "other": [1]}


def test_a_flow_file_is_a_path(file: Path) -> None:
    assert find_flow_file(str(file)) == file


def test_a_missing_file_has_the_nearest_name(file: Path) -> None:
    with pytest.raises(BadInput) as caught:
        find_flow_file(str(file.with_name("pear.flow")))
    assert caught.value.message == f"there is no file {file.with_name('pear.flow')}"
    assert caught.value.help == f"did you mean '{file}'?"


def test_a_folder_is_no_flow_file(file: Path) -> None:
    with pytest.raises(BadInput) as caught:
        find_flow_file(str(file.parent))
    assert caught.value.help == "flow files in it: pair.flow"


@pytest.mark.parametrize("name", ["safety_rag", "safety_rag.flow"])
def test_a_bare_name_is_a_bundled_flow_and_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_flow_file(name)
    assert found.name == "safety_rag.flow"
    assert str(found) in capsys.readouterr().err


def test_a_misspelt_bundled_flow_has_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        find_flow_file("safty_rag")
    assert caught.value.help == "did you mean 'safety_rag.flow'?"


def test_a_graph_imports_neither_torch_nor_transformers_nor_a_tool(tmp_path: Path) -> None:
    code = (
        "import sys; from alora_flow.cli.graph import command\n"
        f"command(['safety_rag', '-o', {str(tmp_path / 'x.svg')!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'bm25s', 'kb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[]\n"
    assert (tmp_path / "x.svg").stat().st_size > 1000


FREE = """
enum Answer { yes = "Yes, it is", no }
flow main(note: str?, count: int | str, answer: Answer?, only: Answer = no) -> str {
  return "{note ?? "nothing"} {count} {answer} {only}"
}
"""


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("note=hi", "hi"),
        ("note=5", "5"),
        ("note=null", None),
        ('note="quoted"', "quoted"),
        ("count=5", 5),
        ("count=five", "five"),
        ("answer=yes", "Yes, it is"),
        ("answer=Yes, it is", "Yes, it is"),
        ("answer=null", None),
        ("only=yes", "Yes, it is"),
        ("only=maybe", "maybe"),
    ],
)
def test_text_is_taken_as_what_it_may_be(given: str, read: object, tmp_path: Path) -> None:
    (tmp_path / "free.flow").write_text(FREE)
    flow = Compilation(tmp_path / "free.flow").flow("main")
    assert read_inputs(flow, (given,), None) == {given.partition("=")[0]: read}

"""`alora-flow check` and `alora-flow fmt`, as they are called."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alora_flow.cli import check, fmt
from alora_flow.errors import BadInput
from alora_flow.language.syntax import parser

RIGHT = 'flow f(x: str) -> str {\n  return "{x}!"\n}\n'
WRONG = "flow f(x: str) -> str { return y + z }\n"
UGLY = 'flow f(x:str)->str{return "{x}!"}\n'


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(item) for item in arguments])  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.flow"


def test_a_right_file(file: Path) -> None:
    file.write_text(RIGHT)
    result = run(check.command, file)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "checked 1 file: no errors\n"


def test_a_wrong_file_shows_all_errors_and_no_color(file: Path) -> None:
    file.write_text(WRONG)
    result = run(check.command, file)
    assert result.exit_code == 1
    assert result.stdout == (
        "error[E0302]: unknown name 'y'\n"
        f" --> {file}:1:32\n"
        "  |\n"
        "1 | flow f(x: str) -> str { return y + z }\n"
        "  |                                ^\n"
        "\n"
        "error[E0302]: unknown name 'z'\n"
        f" --> {file}:1:36\n"
        "  |\n"
        "1 | flow f(x: str) -> str { return y + z }\n"
        "  |                                    ^\n"
        "\n"
    )
    assert result.stderr == "checked 1 file: 2 errors\n"


def test_json(file: Path) -> None:
    file.write_text("const A = 1\nconst A = 2\n")
    result = run(check.command, "--json", file)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "file": str(file),
            "line": 2,
            "column": 7,
            "end_line": 2,
            "end_column": 8,
            "severity": "error",
            "code": "E0201",
            "message": "'A' is declared twice",
            "help": None,
            "notes": [
                {
                    "message": "'A' is declared here first",
                    "file": str(file),
                    "line": 1,
                    "column": 7,
                    "end_line": 1,
                    "end_column": 8,
                }
            ],
        }
    ]


def test_json_of_nothing_is_an_empty_list(file: Path) -> None:
    file.write_text(RIGHT)
    result = run(check.command, "--json", file)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_warnings_do_not_fail(file: Path) -> None:
    file.write_text("flow f(unused: str) -> str { return 'a' }\n".replace("'", '"'))
    result = run(check.command, file)
    assert result.exit_code == 0
    assert "warning[W0801]" in result.stdout
    assert "1 warning" in result.stderr


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    for command in (check.command, fmt.command):
        result = run(command, tmp_path / "no.flow")
        assert result.exit_code == 1
        assert result.stdout.count("error") == 1
        assert "no such file" in result.stdout


def test_wrong_usage(file: Path) -> None:
    assert run(check.command).exit_code == 2
    assert run(fmt.command).exit_code == 2
    assert run(check.command, "--jsn", file).exit_code == 2


def test_a_file_is_written_in_canonical_form(file: Path) -> None:
    file.write_text(UGLY)
    file.chmod(0o640)
    result = run(fmt.command, file)
    assert result.exit_code == 0
    assert file.read_text() == RIGHT
    assert file.stat().st_mode & 0o777 == 0o640
    assert [item.name for item in file.parent.iterdir()] == ["a.flow"]
    assert run(fmt.command, file).stderr == ""


def test_check_and_diff_change_nothing(file: Path) -> None:
    file.write_text(UGLY)
    assert run(fmt.command, "--check", file).exit_code == 1
    result = run(fmt.command, "--diff", file)
    assert result.exit_code == 1
    assert f"-{UGLY}" in result.stdout
    assert '+  return "{x}!"\n' in result.stdout
    assert file.read_text() == UGLY
    file.write_text(RIGHT)
    assert run(fmt.command, "--check", "--diff", file).exit_code == 0


def test_a_file_with_syntax_errors_is_left_alone(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.flow"
    file.write_text("flow f( {\n")
    other.write_text(UGLY)
    result = run(fmt.command, file, other)
    assert result.exit_code == 1
    assert "error[E0101]" in result.stdout
    assert file.read_text() == "flow f( {\n"
    assert other.read_text() == RIGHT


def test_a_file_that_cannot_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file.write_text(UGLY)
    monkeypatch.setattr(Path, "replace", refuse)
    result = run(fmt.command, file)
    assert isinstance(result.exception, BadInput)
    assert str(result.exception) == f"cannot write '{file}': permission denied"
    assert [item.name for item in file.parent.iterdir()] == ["a.flow"]
    assert file.read_text() == UGLY


def test_wrong_names_are_no_matter_of_layout(file: Path) -> None:
    file.write_text(WRONG)
    assert run(fmt.command, file).exit_code == 0
    assert "return y + z" in file.read_text()


def test_checking_imports_nothing_heavy(file: Path) -> None:
    file.write_text(RIGHT)
    script = f"import sys\nfrom alora_flow.cli.check import command\ncommand([{str(file)!r}], standalone_mode=False)\n"
    heavy = "torch", "networkx", "transformers", "pydantic", "rich"
    script = script.replace("command([", "import contextlib\nwith contextlib.suppress(SystemExit): command([")
    script += f"print([name for name in {heavy!r} if name in sys.modules])\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


SMALL = 'start: "a"\n?expression: NUMBER\n%import common.NUMBER\n'
"""A grammar made in no time, which the cache treats as any other."""


def test_a_home_that_cannot_be_written_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert parser.made(SMALL).parse("1", start="expression") == "1"


def test_no_home_at_all_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(parser.Path, "home", no_home)
    assert parser.made(SMALL).parse("1", start="expression") == "1"


@pytest.mark.parametrize("left", [0, 10, 1000])
def test_a_broken_cache_is_no_obstacle(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parser.made(SMALL)
    (cached,) = (tmp_path / "alora-flow").iterdir()
    cached.write_bytes(cached.read_bytes()[:left])
    assert parser.made(SMALL).parse("1", start="expression") == "1"
    assert cached.stat().st_size > left  # it was made whole again

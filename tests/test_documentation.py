"""Every command that the documentation shows is run, and its output is compared.

A ```console block holds commands (`$ …`) and their output. `…` in the output stands for anything on that line (times,
mostly). Commands of `make` are run by .ci/run itself. What needs a shell has one; a plain `alora-flow …` runs in this
process, since `tests/cli/test_processes.py` starts every command as a user does.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import screen

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str, str]]:
    """(document, command, expected output) of every shown command."""
    found = []
    for document in DOCUMENTS:
        for block in BLOCK.findall(document.read_text()):
            for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = shown.partition("\n")
                found.append((document.name, command, output))
    return found


SHOWN = [shown for shown in commands() if not shown[1].startswith("make ")]


SHELL = set("|<>;&$`")


@pytest.mark.parametrize(("document", "command", "output"), SHOWN, ids=[f"{s[0]}: {s[1]}" for s in SHOWN])
def test_a_shown_command_gives_the_shown_output(document: str, command: str, output: str) -> None:
    words = shlex.split(command)
    plain = words[0] == "alora-flow" and not SHELL & set(command)
    seen = screen(*words[1:], cwd=ROOT) if plain else in_a_shell(command)
    assert like(output).fullmatch(tidy(seen)), seen


def in_a_shell(command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "OMP_WAIT_POLICY": "passive", "NO_COLOR": "1"}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, shell=True, cwd=ROOT, env=environment, text=True, timeout=120, **both).stdout


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def like(shown: str) -> re.Pattern[str]:
    """Literal text, but for `…`."""
    return re.compile(".*".join(re.escape(part) for part in tidy(shown).split("…")))


def test_the_readme_shows_commands() -> None:
    assert sum(document == "README.md" for document, _, _ in SHOWN) >= 4


def test_the_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for block in PYTHON_BLOCK.findall((ROOT / "README.md").read_text()):
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})

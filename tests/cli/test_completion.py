"""What a shell is told where a word of a command is begun."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from alora_flow.cli.main import group

FILE = """\
model base = "mini"
flow ask(question: str, times: int = 2) -> str { return question }
flow other(text: str) -> str { return text }
"""


def completed(folder: Path, *words: str) -> list[str]:
    """The last word is the one that is begun."""
    with contextlib.chdir(folder):
        found = ShellComplete(group, {}, "alora-flow", "").get_completions(list(words[:-1]), words[-1])
    return [f"{item.type},{item.value}" for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ru",), ["plain,run"]),
        (("run", "safety"), ["file,safety", "plain,safety_rag.flow"]),
        (("test", "safety"), ["file,safety", "plain,safety_rag.flow"]),
        (("run", "two.flow", "o"), ["plain,other"]),
        (("run", "wrong.flow", "o"), []),
        (("run", "nowhere.flow", "o"), []),
        (("plan", "two.flow", "--model", "mi"), ["file,mi", "plain,mini"]),
        (("run", "two.flow", "--backend", "e"), ["plain,echo"]),
        (("show", "pl"), ["plain,plan"]),
        (("show", "plan", "two.flow", "as"), ["plain,ask"]),
        (("plan", "two.flow", "--no-pass", "dead"), ["plain,dead-nodes"]),
        (("intrinsics", "list", "li"), ["file,li"]),
        (("run", "two.flow", "ask", "--input", ""), ["plain,question=", "plain,times="]),
        (("run", "two.flow", "ask", "--input", "question=x", "--input", ""), ["plain,times="]),
        (("run", "ask.flow", "--input", ""), ["plain,question=", "plain,times="]),
        (("plan", "two.flow", "other", "--input", "t"), ["plain,text="]),
        (("show", "plan", "two.flow", "other", "--input", ""), ["plain,text="]),
        (("run", "--input", ""), []),
        (("run", "wrong.flow", "--input", ""), []),
        (("run", "two.flow", "--input", ""), []),
        (("eval", "flow", "two.flow", "o"), ["plain,other"]),
        (("eval", "flow", "two.flow", "other", "--input", ""), ["plain,text="]),
    ],
)
def test_completion(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    (tmp_path / "two.flow").write_text(FILE)
    (tmp_path / "ask.flow").write_text(FILE)
    (tmp_path / "wrong.flow").write_text("flow one(")
    assert completed(tmp_path, *words) == expected

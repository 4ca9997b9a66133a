"""Stubs of flow files, held against mypy and against the modules that they speak of."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow.views.stubs import stub_text
from tests.command import warm

ROOT = Path(__file__).parents[2]
BUNDLED = sorted((ROOT / "flows").glob("*.flow"))

SAMPLE = '''
## All that a stub can hold. "quoted"
import "inner.flow" as inner
model base = "mini"

## Where it stands.
enum Stage {
  ## before
  input,
  output = "at the end",
  title,
  None
}
## An answer, """so""" to say: \\d.
record Answer {
  ## What was said.
  text: str = "x",
  stage: Stage,
  notes: list[str]?,
  str: int,
  json: int,
  class: int = 1
}
record Any { list: list[Answer], typed: inner.Answer, inner: inner.Stage? }
type Outcome = Answer | inner.Answer
tool search(q: str, stage: Stage = input, class: int = 1) -> list[document] = python "kb:search"
tool note(a: Outcome) = python "kb:note"

flow main(q: str, docs: list[document], history: chat, answer: Answer?, p: int?, stage: Stage = input) -> Outcome {
  return answer ?? Answer(stage: stage, str: len(docs) + len(history) + len(q), json: if p is none { 0 } else { 1 })
}
flow class(def: int, from_: Any?) -> list[Stage] { return if from_ is none and def > 0 { [input] } else { [] } }
flow nothing() -> Any? { return none }
flow run(x: int) -> int { return x }
'''
INNER = """
enum Stage { first_one }
record Answer { stage: Stage = first_one }
tool pick(stage: Stage) -> Stage = python "kb:pick"
flow sub() -> Answer { return Answer() }
"""

USES = """
import asyncio
from typing import TYPE_CHECKING, cast
import alora_flow
if TYPE_CHECKING:
    from sample_flow import Answer, InnerPickTool, NoteTool, Outcome, SampleModule, SearchTool, Stage

module = cast("SampleModule", alora_flow.load("sample.flow", backend="echo"))
answer = module.Answer(stage="at the end", str=3, json=4, notes=["a"])
reveal_type(answer.stage)  # Stage
reveal_type(answer.notes)  # list[str] | None
reveal_type(answer.json_)  # int
result = module.main(q="a", docs=[{"text": "d"}], history=[], answer=answer, stage="input")
reveal_type(result.value)  # Answer | inner_Answer
value = result.value
if isinstance(value, module.Answer):
    reveal_type(value.text)  # str
else:
    reveal_type(value.stage)  # inner_Stage
outcome: "Outcome" = value
if not isinstance(answer, module.Outcome):
    answer.nothing
def search(q: str, stage: "Stage", class_: int) -> list[dict[str, str]]:
    return [{"text": q}]
async def search_later(q: str, stage: "Stage", class_: int) -> list[alora_flow.Document]:
    return []
def note(a: "Outcome") -> None: ...
def wrong(q: int, stage: "Stage", class_: int) -> list[dict[str, str]]:
    return []
def pick(stage: str) -> "Stage":
    return module.Stage.title
one: "SearchTool" = search
two: "SearchTool" = search_later
three: "SearchTool" = wrong  # error: assignment
four: "SearchTool" = note  # error: assignment
five: "NoteTool" = note
six: "InnerPickTool" = pick  # error: assignment
other = cast("SampleModule", alora_flow.load("sample.flow", backend="echo", tools={"search": one, "note": five}))
module.main(q="a", docs=[], history=[], stage=module.Stage.title)
module.main(q=1, docs=[], history=[])  # error: arg-type
module.main(q="a", docs=[], history=[], stage="outpt")  # error: arg-type
module.main(docs=[], history=[])  # error: call-arg
module.main(q="a", docs=[], history=[], staeg="input")  # error: call-arg
module.Answer(stage="at the end", str=3)  # error: call-arg
answer.text = "b"  # error: misc
module.class_(def_=1).value[0].upper()
reveal_type(module.nothing().value)  # Any | None
reveal_type(module.run_(x=1).value)  # int
reveal_type(module.main.map({"q": "a", "docs": [], "history": []} for _ in range(2))[0].value)  # Answer | inner_Answer
for row in module.run_.map([{"x": 1}], return_exceptions=True):
    if not isinstance(row, Exception):
        reveal_type(row.value)  # int
module.run_.map([{}])  # error: typeddict-item

async def tasks() -> None:
    reveal_type((await module.run_.arun(x=1)).value)  # int
    async for event in module.run_.stream(x=1):
        match event:
            case alora_flow.TextWritten(text=text):
                reveal_type(text)  # str
            case alora_flow.Result():
                reveal_type(event.value)  # int

asyncio.run(tasks())
module.close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stubs")
    (path / "inner.flow").write_text(INNER)
    (path / "sample.flow").write_text(SAMPLE)
    done = warm("stubs", "sample.flow", cwd=path)
    assert (done.code, done.stdout, done.stderr) == (0, "wrote sample_flow.pyi\n", "")
    return path


FACE = ("alora_flow", "alora_flow.errors", "alora_flow.flow", "alora_flow.module", "pydantic.*", "pydantic_core.*")
"""What stubs speak of. What stands behind it is checked with the rest of the project, and would take mypy minutes."""


def checked(folder: Path, *files: str) -> list[str]:
    """What `mypy --strict` says of files, one line each."""
    inner = [f"alora_flow.{name}" for name in ("execution.*", "values.*")]
    followed = "".join(f"[mypy-{name}]\nfollow_imports = silent\n" for name in (*FACE, *inner))
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\nfollow_imports = skip\n{followed}")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *files]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(folder), str(ROOT), str(ROOT / "runtime")])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout.splitlines()


def test_mypy_takes_stubs_as_they_are_meant(folder: Path) -> None:
    for flow in BUNDLED:
        assert warm("stubs", str(flow), "-o", f"{flow.stem}_flow.pyi", cwd=folder).code == 0
    (folder / "uses.py").write_text(USES)
    stubs = sorted(path.name for path in folder.glob("*.pyi"))
    assert len(stubs) == len(BUNDLED) + 1
    found = checked(folder, *stubs, "uses.py")
    wanted = []
    for number, line in enumerate(USES.splitlines(), start=1):
        said = line.partition("  # ")[2]
        if said.startswith("error: "):
            wanted.append((number, f"[{said.removeprefix('error: ')}]"))
        elif said:
            wanted.append((number, f'Revealed type is "{said}"'))
    seen = []
    for line in found:
        place = re.match(r"uses\.py:(\d+): (error|note): (.*)", line)
        assert place, line
        if place[2] == "error":
            seen.append((int(place[1]), place[3][place[3].rindex("[") :]))
        elif place[3].startswith("Revealed"):
            seen.append((int(place[1]), re.sub(r"\b(?:sample_flow|builtins|inner)\.", "", place[3])))
    assert seen == wanted, "\n".join(found)


def test_what_mypy_takes_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right lines of the uses run."""
    monkeypatch.chdir(folder)
    right = [line for line in USES.splitlines() if "# error" not in line]
    lines = [re.sub(r"reveal_type\((.*)\)(?:  #.*)?$", r"(\1)", line) for line in right]
    exec(compile("\n".join(lines), "uses.py", "exec"), {"__name__": "uses"})


def members(stub: str, name: str) -> set[str]:
    (found,) = [node for node in ast.parse(stub).body if isinstance(node, ast.ClassDef) and node.name == name]
    names: set[str] = set()
    for node in found.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=known)) | ast.Assign(targets=[ast.Name(id=known)]):
                names.add(known)
            case ast.FunctionDef(name=known) | ast.ClassDef(name=known) | ast.AsyncFunctionDef(name=known):
                names.add(known)
    return names


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_what_a_stub_says_is_there(file: Path) -> None:
    module: Any = alora_flow.load(file, backend="echo")
    stub = stub_text(module)
    (name,) = [node.name for node in ast.parse(stub).body if isinstance(node, ast.ClassDef) and "Module" in node.name]
    for known in members(stub, name):
        assert getattr(module, known) is not None
    for flow in module.flows.values():
        for known in members(stub, f"{''.join(part.title() for part in flow.__name__.split('_'))}Flow"):
            assert hasattr(flow, known)


def test_docs_stand_where_an_editor_finds_them(folder: Path) -> None:
    text = (folder / "sample_flow.pyi").read_text()
    tree = ast.parse(text)
    docs = {node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    assert ast.get_docstring(tree) == 'All that a stub can hold. "quoted"'
    assert docs["Stage"] == "Where it stands."
    assert docs["Answer"] == 'An answer, """so""" to say: \\d.'
    assert "    # What was said.\n    text: " in text
    assert "    # before\n    input = 'input'" in text


def test_stubs_can_not_be_written_where_there_is_no_folder(folder: Path) -> None:
    done = warm("stubs", "sample.flow", "-o", "nowhere/x.pyi", cwd=folder)
    assert (done.code, done.stderr) == (1, "error: cannot write nowhere/x.pyi: No such file or directory\n")

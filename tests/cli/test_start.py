"""What a command imports, each in a process of its own. Times are measured elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import hearing_interrupts, warm

FLOW = """\
model base = "mini"
flow twice(n: int = 2) -> int { return n * 2 }
test "four" { let r = twice(n: 2)  expect r == 4 }
"""
HEAVY = {"torch", "transformers"}
OF_MODELS = {
    *HEAVY,
    "networkx",
    "jinja2",
    "tokenizers",
    "llguidance",
    "numpy",
    "huggingface_hub",
    "yaml",
    "safetensors",
}
"""What a run, or a test, without a model does without as well; `graph` and `plan` draw."""
ALORA_FLOW = """\
import sys
from alora_flow.cli.main import main
sys.argv[:] = ["alora-flow", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


SLOW = """\
import sys, time
from alora_flow.__main__ import main

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "alora_flow.cli.main":
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
main()
"""


def imported(folder: Path, *arguments: str) -> set[str]:
    (folder / "twice.flow").write_text(FLOW)
    code = [sys.executable, "-c", ALORA_FLOW, *arguments]
    done = subprocess.run(code, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return OF_MODELS & set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "twice.flow"),
        ("fmt", "twice.flow"),
        ("graph", "twice.flow"),
        ("plan", "twice.flow"),
        ("run", "twice.flow"),
        ("test", "twice.flow"),
    ],
    ids=" ".join,
)
def test_a_flow_that_calls_no_model_imports_no_torch(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert not imported(tmp_path, *arguments) & (HEAVY if arguments[0] in ("graph", "plan") else OF_MODELS)


def test_whoever_interrupts_the_imports_sees_no_traceback() -> None:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(hearing_interrupts([sys.executable, "-c", SLOW]), **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"interrupted\n")


def test_the_package_itself_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "alora_flow", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("python -m alora_flow, version")


def test_the_bundled_model_runs_without_transformers(tmp_path: Path) -> None:
    assert imported(tmp_path, "run", "safety_rag.flow") & HEAVY == {"torch"}


@pytest.mark.parametrize("command", ["run", "test", "check", "graph", "list"])
def test_a_file_without_a_model_needs_none_where_none_is_called(tmp_path: Path, command: str) -> None:
    file = tmp_path / "twice.flow"
    file.write_text(FLOW.replace('model base = "mini"\n', ""))
    done = warm(command, str(file))
    assert done.code == 0, done.stderr

"""Every command once as a user starts it: the installed program, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from alora_flow.cli.main import COMMANDS
from alora_flow.execution.events import RunEnded
from alora_flow.execution.trace import Trace
from tests.command import cold, hearing_interrupts

FLOW = 'model base = "mini"\nflow two() -> int { return 2 }\ntest "it is two" { let r = two()  expect r == 2 }\n'
CALLS = {
    "calibrate": (["calibrate", "--help"], "Usage: alora-flow calibrate"),
    "check": (["check", "two.flow"], "checked 1 file: no errors"),
    "eval": (["eval", "flow", "two.flow", "two", "--data", "rows.jsonl", "--column", "n"], "50.0 %"),
    "fmt": (["fmt", "--check", "two.flow"], "would change"),
    "graph": (["graph", "two.flow"], "flowchart TD"),
    "mini": (["mini", "--help"], "Usage: alora-flow mini"),
    "intrinsics": (["intrinsics", "check"], "checked 6 intrinsics: no errors"),
    "list": (["list", "two.flow"], "two() -> int"),
    "models": (["models"], "smollm2"),
    "new": (["new", "three"], "wrote three.flow"),
    "plan": (["plan", "two.flow"], "two() -> int"),
    "run": (["run", "safety_rag.flow"], '"supported": true'),
    "show": (["show", "graph", "two.flow"], "flow two"),
    "stubs": (["stubs", "two.flow"], "wrote two_flow.pyi"),
    "test": (["test", "two.flow", "--echo"], "1 passed"),
    "paper": (["paper", "--help"], "Usage: alora-flow paper"),
    "train": (["train", "--help"], "Usage: alora-flow train"),
}


def test_every_command_is_here() -> None:
    assert CALLS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_it_runs_in_a_process_of_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "two.flow").write_text(FLOW)
    (tmp_path / "rows.jsonl").write_text('{"n": 2}\n{"n": 3}\n')
    arguments, said = CALLS[name]
    done = cold(*arguments, cwd=tmp_path)
    assert said in done.stdout + done.stderr
    assert done.code == (1 if name == "fmt" else 0), done.stderr


def test_an_interrupt_ends_it_with_130_and_the_log_stays(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef wait(): time.sleep(60)\n")
    (tmp_path / "f.flow").write_text(
        'model base = "mini"\ntool wait() -> none = python "slow:wait"\nflow f() -> int { let w = wait()  return 2 }'
    )
    log = tmp_path / "log.jsonl"
    command = [Path(sys.executable).parent / "alora-flow", "run", "f.flow", "--echo", "--trace", str(log)]
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(hearing_interrupts(command), cwd=tmp_path, **pipes) as process:
        until = time.monotonic() + 60
        while not (log.exists() and '"node": "w"' in log.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().strip() == "interrupted"
    assert Trace.from_json(log.read_text()).events[-1] == RunEnded(pytest.approx(0, abs=60), "KeyboardInterrupt")

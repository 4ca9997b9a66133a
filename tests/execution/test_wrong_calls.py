"""What is wrong with calls by the model: each with its place and with help, before anything runs."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from shutil import copytree

import pytest

from alora_flow.errors import FlowError
from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup

FLOW = """model base = "mini"
intrinsic certainty() -> float { adapter "uncertainty" invoke "<|uncertainty|>" emits int[0..9] value it / 10 }
intrinsic far() -> bool { adapter "./far" emits enum("Y", "N") value it == "Y" }
intrinsic missing() -> bool { adapter "./nowhere" emits bool }
intrinsic inner() -> str { adapter "safety" emits str may invoke [certainty] }
intrinsic judge() -> str { adapter "safety" emits str may invoke [MAY] }
tool look(n: int) -> int = python "kb:look"
flow main(q: str) -> str {
  let r = generate() on user(q) may invoke CALLS
  return r.text
}
"""
WRONG = [
    ("[certain]", "certainty", "unknown name 'certain'"),
    ("[certainty] { on safety(v) when v => stop }", "certainty", "'safety' is not among what may be invoked"),
    ("[certainty] budget 0", "certainty", "the budget must be 1 or more, found 0"),
    ("[certainty] depth 0", "certainty", "the depth must be 1 or more, found 0"),
    ("[inner] depth 1", "certainty", "the calls go 2 deep, and the depth is 1: generate → inner → certainty"),
    ("[certainty]", "judge", "this intrinsic invokes itself without a 'depth': judge → judge"),
    ("[far]", "certainty", "'far' is invoked by token 99999, and mini has no such token"),
    ("[missing]", "certainty", "nowhere"),
    ('[certainty] { on certainty(v) when v == "high" => stop }', "certainty", "'==' does not take float"),
    ("[certainty] { on certainty(v) when v => stop }", "certainty", "a condition must be bool"),
    ("[look]", "certainty", "the chat template of mini has no form for calls of tools"),
]


@pytest.mark.parametrize(("calls", "may", "message"), WRONG)
def test_each_is_told_with_place_and_help(tmp_path: Path, calls: str, may: str, message: str) -> None:
    adapter = tmp_path / "far"
    copytree(files("alora_flow") / "mini/weights/intrinsics/safety/mini/alora", adapter)  # type: ignore[call-overload]
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "alora_invocation_tokens": [99999]}))
    (tmp_path / "kb.py").write_text("def look(n: int) -> int:\n    return n\n")
    path = tmp_path / "main.flow"
    path.write_text(FLOW.replace("MAY", may).replace("CALLS", calls))
    told: list[tuple[str, int | None, str | None]] = []
    try:
        Module(Compilation(path), never).main(q="?")
    except FlowErrors as errors:
        told = [(one.message, one.span.line, one.help) for one in errors.diagnostics if one.severity == "error"]
    except FlowError as error:
        line = int(error.message.split()[1].rstrip(":")) if error.message.startswith("line ") else None
        told = [(error.message, line, error.help)]
    [(said, line, help)] = told
    assert message in said
    assert line == (6 if may == "judge" else 9)
    assert help


def never(_: Setup) -> None:  # type: ignore[misc]
    raise AssertionError("a backend was opened")

"""Speculation: guarded work starts beside its guard, counts only when the guard holds, and never has an effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.backends.echo import open_echo
from alora_flow.errors import RunFailed
from alora_flow.module import Module, Result
from alora_flow.planning.compilation import Compilation

FLOW = """
model base = "mini"
tool decide(q: str) -> bool = python "tools:decide"
tool search(q: str) -> list[str] = python "tools:search" with (pure: true)
tool note(q: str) -> str = python "tools:note" with (pure: true)
tool log(q: str) -> str = python "tools:log"
flow main(q: str) -> str {speculate} {{
  if not decide(q) {{ return "refused" }}
  let found = search(q)
  let reply = generate(max_tokens: 8) on user(found[0])
  let logged = log(note(reply.text))
  return logged
}}
"""
TOOLS = """
import threading
CALLS, BEGUN, PATIENCE = [], threading.Event(), {patience}
def decide(q):
    BEGUN.wait(PATIENCE)
    CALLS.append("decide")
    return q != "no"
def search(q):
    CALLS.append("search")
    if q == "empty":
        BEGUN.set()
    return [] if q == "empty" else [q]
def note(q):
    BEGUN.set()
    return q
def log(q):
    CALLS.append("log")
    return "logged " + q
"""


def run(folder: Path, question: str, speculate: str = "speculate") -> tuple[Result, list[str]]:
    (folder / "case.flow").write_text(FLOW.format(speculate=speculate))
    # where it speculates, the guard decides only after all that can be begun: no clock decides the test
    (folder / "tools.py").write_text(TOOLS.replace("{patience}", "30" if speculate else "0"))
    module = Module(Compilation(folder / "case.flow"), open_echo)
    calls = module.find_tool(module.compilation.program.tools["log"]).__globals__["CALLS"]
    return module.flows["main"](q=question), calls


ATTEMPT = """
model base = "mini"
tool decide(q: str) -> bool = python "tools:decide"
tool search(q: str) -> list[str] = python "tools:search" with (pure: true)
flow main(q: str) -> str speculate {
  if not decide(q) { return "refused" }
  let found = search(q)[0] else as why { return why }
  return found
}
"""


@pytest.mark.parametrize(
    ("question", "value"), [("empty", "list index out of range"), ("no", "refused"), ("yes", "yes")]
)
def test_what_a_speculated_attempt_fails_at_counts_where_its_guard_holds(
    tmp_path: Path, question: str, value: str
) -> None:
    (tmp_path / "case.flow").write_text(ATTEMPT)
    (tmp_path / "tools.py").write_text(TOOLS.replace("{patience}", "0"))
    result = Module(Compilation(tmp_path / "case.flow"), open_echo).flows["main"](q=question)
    assert result.value.endswith(value)
    assert result.trace.events[-1].error is None


def test_without_it_the_guard_comes_first(tmp_path: Path) -> None:
    assert run(tmp_path, "yes", "")[1] == ["decide", "search", "log"]


def test_with_it_only_what_has_an_effect_waits(tmp_path: Path) -> None:
    result, calls = run(tmp_path, "yes")
    assert result.value == "logged yes"
    assert calls == ["search", "decide", "log"]
    assert result.trace["reply"].status == "done"
    assert result.trace["reply"].ended > result.trace["if"].ended


def test_what_was_speculated_is_thrown_away_when_the_guard_says_no(tmp_path: Path) -> None:
    result, calls = run(tmp_path, "no")
    assert result.value == "refused"
    assert calls == ["search", "decide"]
    assert (result.trace["reply"].status, result.trace["logged"].status) == ("discarded", "skipped")
    (reply,) = result.trace["reply"].calls
    assert reply.predicted == reply.actual
    assert result.stats.prefilled > 0


def test_a_speculation_that_fails_counts_only_when_its_guards_hold(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="list index out of range"):
        run(tmp_path, "empty")


def test_a_pure_tool_works_once_for_equal_arguments(tmp_path: Path) -> None:
    twice = 'tool search(q: str) -> list[str] = python "tools:search" with (pure: true)\n'
    twice += 'tool log(q: str) -> str = python "tools:log"\nmodel base = "mini"\n'
    twice += "flow main(q: str) -> int { let a = search(q) let b = search(q) let c = search(q + q) "
    twice += "let d = log(q) let e = log(q) return len(a) + len(b) + len(c) + len(d + e) }"
    (tmp_path / "case.flow").write_text(twice)
    (tmp_path / "tools.py").write_text(TOOLS.replace("{patience}", "0"))
    module = Module(Compilation(tmp_path / "case.flow"), open_echo)
    calls = module.find_tool(module.compilation.program.tools["log"]).__globals__["CALLS"]
    assert module.flows["main"](q="x").value == 3 + 2 * len("logged x")
    assert sorted(calls) == ["log", "log", "search", "search"]

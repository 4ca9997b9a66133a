"""`timeout: 5s` of what a model writes: what is not there by then has failed, and an `else` handles it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import Module, RunFailed
from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.backends.torch_engine import TorchEngine, open_engine
from alora_flow.errors import TimedOut
from alora_flow.planning.graph.text import parse_graph, print_graph
from alora_flow.planning.lowering.lowering import lower
from alora_flow.planning.prefix.ledger import Entered
from alora_flow.planning.setup import Setup
from alora_flow.testing import run_tests
from alora_runtime.requests import Completion, Request
from tests.command import warm

HEAD = """
model base = "mini"
enum Sort { tea, bread }
record Fact { text: str, year: int[1400..1899] }
intrinsic safety() -> bool with (timeout: 1ms) { adapter "safety" emits enum("Y", "N") value it == "Y" }
intrinsic certainty() -> float[0.0..1.0] from "uncertainty"
tool slow(n: int) -> str = python "sleeping:slow" with (timeout: 1ms)
"""


class Late(Echo):
    """Is too late for the first calls that have a time-out, after two tokens, and remembers what it was sent."""

    late = 10**9

    def __init__(self, setup: Setup) -> None:
        like = open_echo(setup)
        super().__init__(like._tokenizer, like._stop)
        self.sent: list[Request] = []

    def _answer(self, call: ModelCall, entered: Entered) -> Completion:
        self.sent.append(call.request)
        done = super()._answer(call, entered)
        if call.request.timeout is None or len(self.sent) > self.late:
            return done
        return replace(done, tokens=done.tokens[:2], finish="timeout", generated=2, choice=None, suspended=None)


class Tardy(TorchEngine):
    """Begins each step when every time-out of milliseconds is over."""

    def step(self) -> list[tuple[int, Completion]]:
        time.sleep(0.005)
        return super().step()


def open_tardy(setup: Setup) -> TorchEngine:
    return Tardy(open_engine(setup).engine)


def made(folder: Path, body: str, backend: Callable[[Setup], Any] = Late) -> Module:
    (folder / "sleeping.py").write_text("import time\ndef slow(n):\n    time.sleep(9)\n")
    path = folder / "main.flow"
    path.write_text(f"{HEAD}flow main(q: str) -> str {{\n{body}\n}}\n")
    return alora_flow.load(path, backend=backend)


CALLS = {
    "text": "generate(max_tokens: 200, timeout: 2ms) on user(q)",
    "record": "generate(max_tokens: 200, timeout: 2ms) as Fact on user(q)",
    "choice": "generate(timeout: 2ms) as Sort on user(q)",
    "distribution": "generate(timeout: 2ms) as prob[Sort] on user(q)",
    "intrinsic": "safety() on user(q)",
    "samples": "generate(n: 2, max_tokens: 9, temperature: 0.5, timeout: 2ms) on user(q)",
    "calls": "generate(max_tokens: 99, timeout: 2ms) on user(q) may invoke [certainty]",
    "tool": "slow(1)",
}


@pytest.mark.parametrize("backend", [Late, open_tardy])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_late_has_failed_and_is_handled(tmp_path: Path, call: str, backend: Any) -> None:
    with made(tmp_path, f'let x = {call} else as why {{ return why }}\nreturn "in time"', backend) as module:
        result = module.main(q="?")
    assert "longer than its timeout of 0.00" in result.value
    assert any(node.status == "failed" for node in result.trace.nodes)
    assert result.trace.kept_promise
    with (
        made(tmp_path, f'let x = {call}\nreturn "in time"', backend) as module,
        pytest.raises(TimedOut, match=r"longer than its timeout of 0\.00") as told,
    ):
        module.main(q="?")
    assert isinstance(told.value, RunFailed)
    assert told.value.trace is not None


def test_what_is_in_time_is_as_without(tmp_path: Path) -> None:
    with made(tmp_path, f"let r = {CALLS['text'].replace('2ms', '1h')}\nreturn r.text") as module:
        module.backend.late = 0  # type: ignore[attr-defined]
        assert module.main(q="words").value == "words"
        assert module.backend.sent[0].timeout == 3600.0  # type: ignore[attr-defined]


def test_each_try_has_its_own_time(tmp_path: Path) -> None:
    body = "let r = generate(max_tokens: 9, timeout: 3s, retry: 1) on user(q)\nreturn r.text"
    module = made(tmp_path, body)
    module.backend.late = 1  # type: ignore[attr-defined]
    result = module.main(q="words")
    assert result.value == "words"
    assert [request.timeout for request in module.backend.sent] == [3.0, 3.0]  # type: ignore[attr-defined]
    assert [call.generated > 0 for call in result.trace.calls] == [True, True]


def test_other_calls_are_not_touched(tmp_path: Path) -> None:
    body = f"""
    let a = {CALLS["record"]} else {{ Fact(text: "late", year: 1500) }}
    let b = generate(max_tokens: 5) on user(q)
    return "{{a.text}} {{len(b.text) > 0}}"
    """
    with made(tmp_path, body, open_tardy) as module:
        assert [module.main(q=q).value for q in ("?", "?", "else")] == ["late true"] * 3


def test_a_time_may_depend_on_a_condition(tmp_path: Path) -> None:
    body = 'let r = generate(timeout: if q == "long" { 2s } else { 1s }) on user(q)\nreturn r.text'
    with made(tmp_path, body) as module:
        module.backend.late = 0  # type: ignore[attr-defined]
        for q in ("long", "short"):
            module.main(q=q)
        assert [request.timeout for request in module.backend.sent] == [2.0, 1.0]  # type: ignore[attr-defined]


def test_a_mock_tells_calls_apart_by_it(tmp_path: Path) -> None:
    body = f'let r = {CALLS["text"]} else {{ return "late" }}\nreturn r.text'
    tests = """
    test "in time, then late" {
      mock generate(timeout: 2ms) = "a" then fails "late"
      mock generate(timeout: 3ms) = "never"
      expect main("") == "a"
      expect main("") == "late"
    }
    """
    path = tmp_path / "main.flow"
    path.write_text(f"{HEAD}flow main(q: str) -> str {{\n{body}\n}}\n{tests}")
    with alora_flow.load(path, backend="echo") as module:
        (told,) = run_tests(module, list(module.compilation.program.tests))
    assert (told.outcome, told.message) == ("passed", "")
    assert len(told.notes) == 1


def test_the_graph_and_the_plan_say_it(tmp_path: Path) -> None:
    module = made(tmp_path, f"let x = {CALLS['record']}\nlet y = {CALLS['intrinsic']}\nreturn x.text + str(y)")
    program = module.compilation.program
    graph = lower(program, program.flows["main"])
    assert parse_graph(print_graph(graph, program), program) == graph
    told = warm("plan", "--json", str(tmp_path / "main.flow")).stdout
    assert "generate() → Fact within 2ms" in told
    assert "safety() → bool within 1ms" in told

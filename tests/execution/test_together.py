"""Several runs on one engine: shared steps and cache, the same answers, and no harm to each other."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.backends.base import OpenBackend
from alora_flow.backends.echo import open_echo
from alora_flow.backends.torch_engine import TorchEngine, open_engine
from alora_flow.execution.events import Event, NodeEnded
from alora_flow.module import Module, Result
from alora_flow.planning.compilation import Compilation
from alora_flow.values.plain import plain
from alora_runtime import Engine

FLOWS = Path(__file__).parents[2] / "flows"
QUESTIONS = [f"Who is the mayor of {town}?" for town in ("Tarnok", "Morlun", "Kelmar", "Nimtor", "Galdun", "Tarnok")]

MEETING = """
model base = "mini"
tool meet(n: int) -> int = python "meeting:meet"
flow f(n: int) -> int {
  let r = generate(max_tokens: 3) on user("number {n}")
  let m = meet(n)
  require n != 3 and len(r.text) > 0 else "three"
  return m
}
flow g(n: int) -> int { return n + 1 }
flow h(n: int) -> str {
  let left = generate(max_tokens: 3) on user("left {n}")
  let right = generate(max_tokens: 3) on user("right {n}")
  return "{left.text}{right.text}"
}
"""


def meeting(folder: Path, body: str, open_backend: OpenBackend = open_engine) -> Module:
    """A module whose tool does `body` with its `n`; `module` and `meeting` are free for the test to set."""
    lines = "\n    ".join(body.splitlines())
    (folder / "meeting.py").write_text(f"box = {{}}\n\ndef meet(n):\n    {lines}\n")
    (folder / "f.flow").write_text(MEETING)
    return Module(Compilation(folder / "f.flow"), open_backend)


def box_of(module: Module) -> dict[str, Any]:
    """What the tool's file shares with the test."""
    tool = next(iter(module.compilation.program.tools.values()))
    box: dict[str, Any] = module.find_tool(tool).__globals__["box"]
    return box


def rounded(result: Result) -> Any:
    return {
        node.id: pytest.approx(plain(node.value), abs=1e-4) if isinstance(node.value, float) else plain(node.value)
        for node in result.trace.nodes
        if node.status == "done" and node.kind != "intrinsic"
    }


def test_runs_side_by_side_answer_as_alone_in_fewer_steps_and_keep_their_promise() -> None:
    together, alone = (Module(Compilation(FLOWS / "safety_rag.flow")) for _ in range(2))
    results = together.safety_rag.map({"question": question} for question in QUESTIONS)
    singles = [alone.safety_rag(question=question) for question in QUESTIONS]
    for result, single in zip(results, singles, strict=True):
        assert plain(result.value) == pytest.approx(plain(single.value), abs=1e-4)
        assert result.trace.kept_promise
    engines = [module.backend.engine for module in (together, alone) if isinstance(module.backend, TorchEngine)]
    assert engines[0].stats.steps < engines[1].stats.steps / 2
    assert engines[0].stats.prefilled == engines[1].stats.prefilled


def test_more_runs_than_go_at_once_all_come_back_in_order(tmp_path: Path) -> None:
    module = meeting(tmp_path, "return n")
    inputs = [n for n in range(40) if n != 3]
    assert [result.value for result in module.f.map({"n": n} for n in inputs)] == inputs


def test_flows_of_two_threads_are_under_way_at_once(tmp_path: Path) -> None:
    module = meeting(tmp_path, "return box['barrier'].wait(timeout=60)")
    box_of(module)["barrier"] = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda n: module.f(n=n), (1, 2)))
    assert {result.value for result in results} == {0, 1}  # the barrier let both through, each with its place
    assert all(result.trace.kept_promise for result in results)


@pytest.mark.parametrize("open_backend", [open_engine, open_echo])
def test_a_run_that_fails_is_raised_when_the_others_have_ended(tmp_path: Path, open_backend: OpenBackend) -> None:
    module = meeting(tmp_path, "box.setdefault('came', []).append(n)\nreturn n", open_backend)
    with pytest.raises(RunFailed, match="three"):
        module.f.map({"n": n} for n in range(6))
    assert {0, 1, 2, 4, 5} <= set(box_of(module)["came"])
    assert module.f(n=1).trace.kept_promise


def test_a_wrong_input_is_refused_before_any_runs(tmp_path: Path) -> None:
    module = meeting(tmp_path, "box.setdefault('came', []).append(n)\nreturn n", open_echo)
    with pytest.raises(BadInput, match="'n'"):
        module.f.map([{"n": 1}, {"n": "two"}])
    assert "came" not in box_of(module)


def test_a_tool_may_run_a_flow_of_the_module_that_calls_it(tmp_path: Path) -> None:
    module = meeting(tmp_path, "return box['module'].g(n=n).value")
    box_of(module)["module"] = module
    assert module.f(n=1).value == 2


def test_a_listener_may_not(tmp_path: Path) -> None:
    module = meeting(tmp_path, "return n", open_echo)

    def ask_back(event: Event) -> None:
        module.g(n=1)

    with pytest.raises(RuntimeError, match="a listener can't run flows"):
        module.f.run({"n": 1}, ask_back)
    assert module.f(n=1).value == 1


@pytest.mark.parametrize("fail_at", ["left", "right"])
def test_a_listener_may_fail_at_one_of_the_calls_that_a_step_ends(tmp_path: Path, fail_at: str) -> None:
    module = meeting(tmp_path, "return n", open_echo)
    before = module.h(n=1).value

    def fail(event: Event) -> None:
        if isinstance(event, NodeEnded) and fail_at in event.node:
            raise ValueError(fail_at)

    with pytest.raises(ValueError, match=fail_at):
        module.h.run({"n": 1}, fail)
    assert module.h(n=1).value == before


def test_an_interrupted_step_ends_what_was_under_way_and_leaves_the_module_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = meeting(tmp_path, "return n")
    assert isinstance(module.backend, TorchEngine)
    engine = module.backend.engine
    before, steps = Engine.step, []

    def interrupted(self: Engine, alone: bool = False) -> Any:
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return before(self, alone)

    monkeypatch.setattr(Engine, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.f.map({"n": n} for n in (1, 2))
    engine.check()
    assert not engine.busy
    assert all(result.trace.kept_promise for result in module.f.map({"n": n} for n in (1, 2)))


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def test_a_listener_whose_error_can_not_be_printed_ends_its_own_run_alone(tmp_path: Path) -> None:
    module = meeting(tmp_path, "return n", open_echo)

    def fail(event: Event) -> None:
        raise Unsayable

    with pytest.raises(Unsayable):
        module.h.run({"n": 1}, fail)
    assert module.h(n=1).trace.kept_promise


def test_an_interrupt_of_the_thread_that_leads_is_not_raised_where_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = meeting(tmp_path, "return n")
    assert isinstance(module.backend, TorchEngine)
    before, waiting, others = Engine.step, module.conductor._waiting, []

    def other() -> None:
        with pytest.raises(RunFailed, match="the thread that led it was interrupted"):
            asyncio.run(module.h.arun(n=2))
        others.append("told")

    def interrupted(self: Engine, alone: bool = False) -> Any:
        if not thread.is_alive() and not others:
            thread.start()
            while thread.is_alive() and not waiting:
                time.sleep(0.001)
            raise KeyboardInterrupt
        return before(self, alone)

    thread = threading.Thread(target=other)
    monkeypatch.setattr(Engine, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.h(n=1)
    thread.join(60)
    assert others == ["told"]
    assert module.h(n=2).trace.kept_promise

"""A fault at every line of a flow's run: afterwards other runs are right, keep the promise, and nothing hangs.

A tracer raises at the n-th line that the runs' own files run, as memory that runs out, Ctrl-C and the end of a task
would: for every n where ALORA_FLOW_EVERY_LINE is set, else for some of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import Flow, Module, execution
from alora_flow.errors import FlowError
from alora_flow.execution.events import CallCompleted, CallSubmitted
from alora_flow.execution.trace import Trace
from tests.faults import fault, places

HOME = str(Path(execution.__file__).parent)
KINDS: tuple[type[BaseException], ...] = (
    MemoryError,
    RuntimeError,
    KeyboardInterrupt,
    SystemExit,
    asyncio.CancelledError,
)
SOME = {"echo": 150, "torch": 25}
"""Faults of a test, spread over all lines, by backend."""

PATIENCE = 60.0
"""Seconds after which a run is said to hang."""

FLOW = """
model base = "mini"
tool twice(text: str) -> str = python "doubling:twice"
flow main(q: str) -> list[str] {
  thread ask = system("You answer.") + user(q)
  let first = generate(max_tokens: 4) on ask
  let more = generate(max_tokens: 3) as int[10..99] on (ask + user(twice(q))) else { 0 }
  let found = for word in ["a", "b"] limit 2 {
    let own = generate(max_tokens: 3) on (first.thread + user(word))
    keep own.text when len(word) == 1
  }
  return [first.text, "{more}"] + found
}
"""


@pytest.fixture(scope="module", params=SOME)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def module(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Module]:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "doubling.py").write_text("def twice(text: str) -> str:\n    return text * 2\n")
    (folder / "main.flow").write_text(FLOW)
    with alora_flow.load(folder / "main.flow", backend=backend, seed=3) as loaded:
        yield loaded


def within_patience(work: Callable[[], Any]) -> Any:
    """What a piece of work gives, in a thread of its own, so that one that hangs fails the test."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(work()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert given, "it hangs, or has failed"
    return given[0]


def kept(trace: Trace) -> bool:
    """Is every call as predicted?"""
    predicted = {(e.node, e.call): e.predicted for e in trace.events if isinstance(e, CallSubmitted)}
    actual = {(e.node, e.call): e.actual for e in trace.events if isinstance(e, CallCompleted)}
    return predicted == actual


def lines(flow: Flow) -> int:
    """How many a run has, once everything is imported."""
    flow(q="what")
    with fault(HOME, -1, MemoryError) as count:
        flow(q="what")
    return count[0]


def test_a_fault_at_every_line_of_a_run(module: Module, backend: str) -> None:
    flow = module.flow("main")
    right = flow(q="what").value
    for at in places(lines(flow), SOME[backend]):
        kind = KINDS[at % len(KINDS)]
        try:
            with fault(HOME, at, kind):
                flow(q="what")
        except (kind, FlowError):
            pass
        result = within_patience(lambda: flow(q="what"))
        assert result.value == right, at
        assert kept(result.trace), at


def test_a_run_of_another_thread_beside_it(module: Module, backend: str) -> None:
    """It is right or told that it was broken off, and never waits for ever."""
    flow = module.flow("main")
    right = flow(q="who").value

    def beside() -> Any:
        try:
            return flow(q="who").value
        except (FlowError, MemoryError, RuntimeError) as error:  # of the step that both were in
            return error

    for at in places(lines(flow), SOME[backend] // 2):
        kind = KINDS[at % len(KINDS)]
        with ThreadPoolExecutor(1) as other:
            given = other.submit(beside)
            try:
                with fault(HOME, at, kind):
                    flow(q="what")
            except (kind, FlowError):
                pass
            found = given.result(PATIENCE)
        assert found == right or isinstance(found, Exception), at
        assert within_patience(lambda: flow(q="who")).value == right, at

"""Tests in flow files: each runs on an empty cache, with its own mocks, up to its first expectation that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from alora_flow.errors import FlowError
from alora_flow.execution.events import MockAnswered
from alora_flow.execution.expectations import ExpectationFailed
from alora_flow.execution.trace import Trace
from alora_flow.frozen import dataclass
from alora_flow.language.meaning.program import Block, If, Match, Mock, TestDecl
from alora_flow.module import Module
from alora_flow.planning.schedule import schedule

Verdict = Literal["passed", "failed", "error"]


@dataclass(frozen=True)
class TestResult:
    """`failed`: an expectation did not hold; `error`: the run itself failed. `values`: parts of the expectation.
    `notes`: what is worth a look, whether it passed or not.
    """

    __test__ = False  # not one of pytest's

    file: str
    name: str
    line: int
    outcome: Verdict
    seconds: float
    message: str = ""
    values: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.file}::{self.name}"


def run_tests(module: Module, tests: list[TestDecl]) -> Iterator[TestResult]:
    """The result of each test, as soon as it has one."""
    for test in tests:
        began = time.perf_counter()
        outcome, message, values, notes = _run(module, test)
        seconds, place = time.perf_counter() - began, (str(module.compilation.path), test.name, test.span.line)
        yield TestResult(*place, outcome, seconds, message, values, notes)


def _run(module: Module, test: TestDecl) -> tuple[Verdict, str, tuple[tuple[str, Any], ...], tuple[str, ...]]:
    try:
        made = schedule(module.compilation.test_graph(test), module.compilation.setup, {})
        if made.steps:  # else no model is looked for
            module.forget()
        ((_, trace),) = module.run([made])
    except ExpectationFailed as failed:
        return "failed", failed.message, tuple(failed.values), _unused(test, failed.trace)
    except FlowError as error:
        return "error", error.message, (), ()
    return "passed", "", (), _unused(test, trace)


def _unused(test: TestDecl, trace: Trace) -> tuple[str, ...]:
    """A mock that answers nothing may be misspelt, or stand behind the call that it is for."""
    answered = {event.mock for event in trace.events if isinstance(event, MockAnswered)}
    unused = (mock for place, mock in enumerate(_mocks(test.body)) if place not in answered)
    return tuple(f"line {mock.span.line}: no call was answered by '{_head(mock)}'" for mock in unused)


def _mocks(block: Block) -> Iterator[Mock]:
    """Those of a test, in the order of the source."""
    for statement in block:
        match statement:
            case Mock():
                yield statement
            case If(then=then, otherwise=otherwise):
                yield from _mocks((*then, *otherwise))
            case Match(arms=arms):
                yield from _mocks(tuple(inner for arm in arms for inner in arm.body))


def _head(mock: Mock) -> str:
    """The line that it begins on."""
    return mock.span.text.splitlines()[0]

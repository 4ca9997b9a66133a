"""Tests in flow files: each runs on an empty cache, with its own mocks, up to its first expectation that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from alora_flow.errors import FlowError
from alora_flow.execution.expectations import ExpectationFailed
from alora_flow.language.meaning.program import TestDecl
from alora_flow.module import Module
from alora_flow.planning.schedule import schedule

Verdict = Literal["passed", "failed", "error"]


@dataclass(frozen=True)
class TestResult:
    """`failed`: an expectation did not hold; `error`: the run itself failed. `values`: parts of the expectation."""

    __test__ = False  # not one of pytest's

    file: str
    name: str
    line: int
    outcome: Verdict
    seconds: float
    message: str = ""
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        return f"{self.file}::{self.name}"


def run_tests(module: Module, tests: list[TestDecl]) -> Iterator[TestResult]:
    """The result of each test, as soon as it has one."""
    for test in tests:
        began = time.perf_counter()
        outcome, message, values = _run(module, test)
        yield TestResult(
            str(module.compilation.path),
            test.name,
            test.span.line,
            outcome,
            time.perf_counter() - began,
            message,
            values,
        )


def _run(module: Module, test: TestDecl) -> tuple[Verdict, str, tuple[tuple[str, Any], ...]]:
    try:
        module.forget()
        module.run([schedule(module.compilation.test_graph(test), module.compilation.setup, {})])
    except ExpectationFailed as failed:
        return "failed", failed.message, tuple(failed.values)
    except FlowError as error:
        return "error", error.message, ()
    return "passed", "", ()

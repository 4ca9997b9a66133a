"""Results of the tests in flow files: for people and as JUnit XML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from rich.console import Console

from alora_flow.testing import TestResult
from alora_flow.values.plain import plain


def show_failure(console: Console, result: TestResult) -> None:
    """What did not hold, where, and what its parts were; nothing for a test that passed."""
    if result.outcome == "passed":
        return
    console.print(
        f"\n{result.outcome.upper()} {result.file}:{result.line} {result.name}", style="bold red", markup=False
    )
    for line in explanation(result):
        console.print(line, markup=False, soft_wrap=True)


def explanation(result: TestResult) -> list[str]:
    """The message, then a line for each part of the expectation."""
    return [f"  {result.message}", *(f"    {text} = {_shown(value)}" for text, value in result.values)]


def _shown(value: object) -> str:
    kind = f"{type(value).__name__} " if hasattr(value, "model_dump") else ""
    return kind + json.dumps(plain(value), ensure_ascii=False)


def show_summary(console: Console, results: Sequence[TestResult]) -> None:
    """`1 failed, 3 passed in 0.42 s`"""
    counts = Counter(result.outcome for result in results)
    words = [f"{counts[outcome]} {outcome}" for outcome in ("failed", "error", "passed") if counts[outcome]]
    style = "green" if set(counts) == {"passed"} else "red" if results else "yellow"
    seconds = sum(result.seconds for result in results)
    console.print(f"\n{', '.join(words) or 'no tests ran'} in {seconds:.2f} s", style=style)


def junit_xml(results: Sequence[TestResult]) -> str:
    """The results in the form that CI systems read (JUnit's `testsuite`)."""
    counts = Counter(result.outcome for result in results)
    suite = ElementTree.Element(
        "testsuite",
        name="alora-flow",
        tests=str(len(results)),
        failures=str(counts["failed"]),
        errors=str(counts["error"]),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=result.file, name=result.name, time=f"{result.seconds:.3f}"
        )
        if result.outcome != "passed":
            kind = "failure" if result.outcome == "failed" else "error"
            ElementTree.SubElement(case, kind, message=result.message).text = "\n".join(explanation(result))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

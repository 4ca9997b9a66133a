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
    """What did not hold, where, and what its parts were; of a test that passed, only what is worth a look."""
    lines = explanation(result)
    if not lines:
        return
    word, style = ("NOTE", "yellow") if result.outcome == "passed" else (result.outcome.upper(), "bold red")
    console.print(f"\n{word} {result.file}:{result.line} {result.name}", style=style, markup=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def explanation(result: TestResult) -> list[str]:
    """The message, then a line for each part of the expectation; then the notes."""
    said = [] if result.outcome == "passed" else [f"  {result.message}"]
    values = (f"    {text} = {_shown(value)}" for text, value in result.values)
    return [*said, *values, *(f"  {note}" for note in result.notes)]


def _shown(value: object) -> str:
    kind = f"{type(value).__name__} " if hasattr(value, "model_dump") else ""
    return kind + json.dumps(plain(value), ensure_ascii=False)


def show_summary(console: Console, results: Sequence[TestResult]) -> None:
    """`1 failed, 2 errors, 3 passed in 0.42 s`"""
    counts = Counter(result.outcome for result in results)
    words = [
        f"{counts[outcome]} {outcome}{'s' * (outcome == 'error' and counts[outcome] > 1)}"
        for outcome in ("failed", "error", "passed")
        if counts[outcome]
    ]
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
        elif result.notes:
            ElementTree.SubElement(case, "system-out").text = "\n".join(result.notes)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

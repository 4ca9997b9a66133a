"""`alora-flow test`: the tests in flow files; output and exit codes like pytest's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from alora_flow.backends.table import Opener
from alora_flow.cli.completion import complete_file
from alora_flow.cli.files import find_flow_file, flow_files
from alora_flow.cli.options import backend_options, model_option
from alora_flow.errors import BadInput, FlowError
from alora_flow.language.meaning.program import TestDecl
from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.language.report.render import render
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.testing import TestResult, run_tests
from alora_flow.views.tests import junit_xml, show_failure, show_summary

PASSED, FAILED, NOTHING_COLLECTED = 0, 1, 5
MARKS = {"passed": ("green", "."), "failed": ("red", "F"), "error": ("red", "E")}


@click.command("test")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR…", shell_complete=complete_file)
@click.option("-k", "pattern", default="", metavar="TEXT", help="Only tests with TEXT in FILE::NAME, in any case.")
@backend_options
@model_option("Run on this model instead of the files' own.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write the results as JUnit XML.")
def command(paths: tuple[str, ...], pattern: str, backend: str, model: str | None, junit: Path | None) -> None:
    """Run the tests in flow files, with the same random numbers each time.

    A folder stands for all *.flow files below it. A file that is wrong counts as an error; the others are tested.
    A mock that answered no call is told beside the results.
    Exit code 0: all passed, 1: some failed, 5: there were none.
    """
    console = Console(highlight=False)
    open_backend = Opener(backend)
    if junit is not None and not junit.parent.is_dir():
        raise BadInput(f"cannot write {junit}: there is no folder {junit.parent}")
    results: list[TestResult] = []
    opened: list[Module] = []  # kept to the end, so that they share one engine
    for file in flow_files([Path(text) if Path(text).is_dir() else find_flow_file(text) for text in paths]):
        try:
            module = Module(Compilation(file, model), open_backend, seed=0, share=True)
        except FlowError as error:
            console.print(f"{file} ", end="", markup=False, soft_wrap=True)
            console.print(MARKS["error"][1], style=MARKS["error"][0])
            results.append(_broken(file, error))
            continue
        opened.append(module)
        chosen = _chosen(module, pattern)
        if chosen:
            console.print(f"{file} ", end="", markup=False, soft_wrap=True)
            results += _run(console, module, chosen)
    if junit is not None:
        _write(junit, junit_xml(results))
    for result in results:
        show_failure(console, result)
    show_summary(console, results)
    sys.exit(NOTHING_COLLECTED if not results else FAILED if _failed(results) else PASSED)


def _broken(file: Path, error: FlowError) -> TestResult:
    """The result of a file that is wrong, whatever tests are in it."""
    found = error.diagnostics if isinstance(error, FlowErrors) else ()
    message = render(found).rstrip().replace("\n", "\n  ") if found else error.message
    return TestResult(str(file), "(the file)", found[0].span.line if found else 1, "error", 0.0, message)


def _chosen(module: Module, pattern: str) -> list[TestDecl]:
    tests = module.compilation.program.tests
    return [test for test in tests if pattern.lower() in f"{module.compilation.path}::{test.name}".lower()]


def _run(console: Console, module: Module, tests: list[TestDecl]) -> list[TestResult]:
    results = []
    for result in run_tests(module, tests):
        style, mark = MARKS[result.outcome]
        console.print(mark, style=style, end="")
        results.append(result)
    console.print()
    return results


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error


def _failed(results: Sequence[TestResult]) -> bool:
    return any(result.outcome != "passed" for result in results)

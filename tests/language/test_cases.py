"""Every wrong program of tests/cases has exactly the diagnostics that stand beside it."""

import random
from functools import cache
from pathlib import Path

from alora_flow.language import Diagnostic, check, check_file
from alora_flow.language.report.codes import CODES
from tests.language.cases import CASES, outcome, programs

WRONG = programs("syntax") + programs("errors")


@cache
def found(path: Path) -> tuple[Diagnostic, ...]:
    return check_file(path)[1]


def test_wrong_programs(update: bool) -> None:
    """All that differ are named, with what is told of them."""
    different = {}
    for path in WRONG:
        expected = path.with_suffix(".expected")
        told = outcome(found(path))
        if update:
            expected.write_text(told, encoding="utf-8")
        if told != expected.read_text(encoding="utf-8") or not found(path):
            different[f"{path.parent.name}/{path.stem}"] = told
    assert different == {}


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 150


def test_every_expectation_has_its_program() -> None:
    assert {path.with_suffix(".flow") for path in CASES.rglob("*.expected")} <= {*WRONG, *programs("plan")}


def test_every_code_occurs() -> None:
    told = {item.code for path in WRONG for item in found(path)}
    elsewhere = {
        "E0107",
        "E0108",
        "E0109",
        "W0901",
        "W0902",
        "W0903",
        "W0904",
        "W0905",
        "W0906",
    }  # what no file can show: see test_hostile.py and planning's
    assert set(CODES) - elsewhere <= told


def test_nothing_is_told_twice() -> None:
    for path in WRONG:
        told = [(item.span.start, item.code) for item in found(path)]
        assert len(told) == len(set(told)), path.name


# what these lack would stand in the next program, or takes it along
OPEN_ENDED = {
    "beside_syntax_errors",
    "import_without_alias",
    "tool_without_function",
    "unclosed_at_end",
    "unclosed_block_string",
    "huge_number",
}


def test_one_error_neither_hides_nor_makes_another() -> None:
    """Two wrong programs in one file have the syntax errors of both, each at its place."""
    chance = random.Random(0)
    alone = [path for path in programs("syntax") if path.stem not in OPEN_ENDED]
    for _ in range(30):
        first, second = chance.choice(alone), chance.choice(alone)
        if first.stem not in ("three_errors", "unclosed_string"):
            text = first.read_text()
            expected = places(text) + places(second.read_text(), text.count("\n"))
            assert places(text + second.read_text()) == expected, (first.stem, second.stem)


def places(text: str, lines: int = 0) -> list[tuple[int, int, str]]:
    return [
        (item.span.line + lines, item.span.column, item.message)
        for item in check(text)[1]
        if item.code.startswith("E01")
    ]

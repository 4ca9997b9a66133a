"""What people type who come from other languages: one finding each, whose help names the equivalent.

A file of cases holds programs (or statements of a flow) with `=> help` below each; `--update` writes the helps anew.
"""

import re

import pytest

from alora_flow.language import check
from alora_flow.language.syntax.idioms import IDIOMS
from tests.language.cases import CASES

FOLDER = CASES / "idioms"
CASE = re.compile(r"(.*?)\n=> ([^\n]*)\n\n", re.DOTALL)
AROUND = {
    "at_the_top": "{}",
    "in_a_flow": (
        "record R {{ a: str }}\nenum Kind {{ yes, no }}\n"
        "flow f(q: str, n: int, xs: list[str], x: str?) -> str max_depth 2 {{\n  {}\n  return q\n}}\n"
    ),
}


def helps(name: str, written: str) -> list[str | None]:
    return [item.help for item in check(AROUND[name].format(written))[1] if item.severity == "error"]


@pytest.mark.parametrize("name", AROUND)
def test_each_is_told_its_equivalent(name: str, update: bool) -> None:
    path = FOLDER / f"{name}.txt"
    cases = CASE.findall(path.read_text())
    if update:
        path.write_text("".join(f"{written}\n=> {helps(name, written)[0]}\n\n" for written, _ in cases))
    assert {written: helps(name, written) for written, _ in cases} == {written: [help] for written, help in cases}


def test_every_idiom_has_its_case() -> None:
    told = {help for name in AROUND for _, help in CASE.findall((FOLDER / f"{name}.txt").read_text())}
    assert {help for _, help in IDIOMS} <= told


def test_there_are_enough_of_them() -> None:
    assert sum(len(CASE.findall(path.read_text())) for path in FOLDER.glob("*.txt")) >= 150

"""The documentation's examples: what is said of wrong programs, and that right ones are right."""

import re
from pathlib import Path

import pytest

from alora_flow.language import Source, check, check_file
from alora_flow.language.printing.file import format_source
from alora_flow.language.report.codes import CODES
from alora_flow.language.report.render import render
from tests.language.cases import CASES

DOCS = CASES.parent.parent / "docs"
ERRORS, MANUAL = DOCS / "errors.md", DOCS / "language.md"
SHOWN_ELSEWHERE = {"E0109", "W0901", "W0902", "W0903", "W0904", "W0905", "W0906"}
"""A missing file is not a program; what depends on a model's tokenizer is shown by tests/planning/test_advice.py."""
SECTION = re.compile(
    r"### (?P<code>[EW]\d{4}): (?P<title>[^\n]*)\n(?:(?!###).)*?"
    r"```flow wrong\n(?P<wrong>.*?)\n```\n```text\n(?P<told>.*?)```\nMended:\n```flow\n(?P<right>.*?)\n```\n",
    re.DOTALL,
)


@pytest.fixture(autouse=True)
def among_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports of the examples are those of the case files."""
    monkeypatch.chdir(CASES / "errors")


def told(text: str) -> str:
    return render(check(Source("example.flow", text))[1]).rstrip("\n") + "\n"


def test_every_code_is_explained() -> None:
    found = re.findall(r"^### (\w+): (.*)$", ERRORS.read_text(), re.MULTILINE)
    assert found == list(CODES.items())


def test_what_is_said_of_wrong_programs(update: bool) -> None:
    text = ERRORS.read_text()
    if update:
        text = SECTION.sub(lambda match: with_told(match, told(match["wrong"])), text)
        ERRORS.write_text(text)
    sections = list(SECTION.finditer(text))
    assert {match["code"] for match in sections} == set(CODES) - SHOWN_ELSEWHERE
    for match in sections:
        assert match["told"] == told(match["wrong"]), match["code"]
        assert f"[{match['code']}]" in match["told"]
        assert check(Source("example.flow", match["right"]))[1] == (), match["code"]


def with_told(match: re.Match[str], said: str) -> str:
    start, end = (place - match.start() for place in match.span("told"))
    return match.group()[:start] + said + match.group()[end:]


@pytest.mark.parametrize("page", ["models.md", "intrinsics.md"])
def test_examples_of_other_pages(page: str) -> None:
    for text in programs(ERRORS.parent / page):
        assert check(Source("example.flow", text))[1] == ()


def test_what_is_said_of_a_missing_file() -> None:
    assert render(check_file(Path("nowhere.flow"))[1]).strip() in ERRORS.read_text()


def programs(page: Path) -> list[str]:
    return re.findall(r"^```flow\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE) if page.exists() else []


@pytest.mark.parametrize("text", programs(MANUAL), ids=lambda text: text.strip().split("\n")[0][:40])
def test_examples_of_the_manual(text: str) -> None:
    program, found = check(Source("example.flow", text))
    assert program is not None, render(found)
    assert found == (), render(found)
    assert format_source(text) == text

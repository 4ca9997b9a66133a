"""What the checker makes of right programs: the checked program, printed, stands beside each (`--update`)."""

from pathlib import Path

import pytest

from alora_flow.language import check, check_file
from alora_flow.language.meaning import program as p
from alora_flow.language.printing.program import EXPRESSIONS, STATEMENTS, show_program
from tests.language.cases import programs


@pytest.mark.parametrize("path", programs("valid"), ids=lambda path: path.stem)
def test_checked_program(path: Path, update: bool) -> None:
    program, found = check_file(path)
    assert program is not None, found
    shown, expected = show_program(program), path.with_suffix(".program")
    if update:
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")


def test_every_node_can_be_shown() -> None:
    kinds = [kind for kind in vars(p).values() if isinstance(kind, type) and kind not in (p.Expression, p.Statement)]
    expressions = {kind for kind in kinds if issubclass(kind, p.Expression)}
    assert expressions - {p.For, p.Repeat, p.Attempt} == set(EXPRESSIONS)
    assert {kind for kind in kinds if issubclass(kind, p.Statement)} == set(STATEMENTS)


def test_imported_files_are_part_of_the_program() -> None:
    (path,) = [path for path in programs("valid") if path.stem == "imports"]
    program, _ = check_file(path)
    assert program is not None
    assert list(program.flows) == ["near.x", "far.pick", "both"]
    assert program.flows["far.pick"].imported
    assert not program.flows["both"].imported
    assert program.records["far.Note"].type.path.endswith("parts/far.flow")
    assert [test.name for test in program.tests] == ["imported flows run"]


def test_the_model_of_the_loaded_file_decides() -> None:
    program, _ = check('model base = "mini"')
    assert program is not None
    assert program.model is not None
    assert program.model.reference == "mini"
    nothing, _ = check("")
    assert nothing is not None
    assert nothing.model is None


def test_documentation_reaches_the_program() -> None:
    text = "## The file.\n\n## A flow.\n## Of two lines.\nflow f() -> int { return 1 }\n"
    text += "record R {\n  ## a field\n  a: int,\n}\n# no doc\nenum E { a }\n"
    program, _ = check(text)
    assert program is not None
    assert program.doc == "The file."
    assert program.flows["f"].doc == "A flow.\nOf two lines."
    assert program.records["R"].docs == {"a": "a field"}
    assert program.enums["E"].doc == ""


def test_defaults_are_said_as_they_are_written() -> None:
    program, _ = check("flow f(a: int, b: int? , c: int? = none, d: list[int] = [1,\n  2]) -> int { return a }\n")
    assert program is not None
    said = [parameter.said_default for parameter in program.flows["f"].parameters]
    assert said == ["", " = none", " = none", " = [1, 2]"]

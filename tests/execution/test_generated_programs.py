"""Random programs give what Python says. ALORA_FLOW_PROGRAMS=20000 tries more than the usual number of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alora_flow.errors import RunFailed
from alora_flow.language.checking.check import check_file
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.values.plain import plain
from tests.execution.program_pairs import Program, program

PROGRAMS = int(os.environ.get("ALORA_FLOW_PROGRAMS", "200"))
NEVER = {"E0405", "E0402", "E0603"}
"""What is always or never so is refused by the checker, and Python minds nothing of it."""
FAILED = object()


def by_python(made: Program) -> Any:
    """The value of `main`, or FAILED."""
    names: dict[str, Any] = {}
    exec(made.python, names)
    inputs = {item: _as(names, type, made.inputs[item]) for item, type in made.types.items()}
    try:
        return names["plain"](names["main"](**inputs))
    except (ArithmeticError, IndexError, names["Unmet"]):
        return FAILED


def _as(names: dict[str, Any], type: str, value: Any) -> Any:
    if type == "Pet" and isinstance(value, dict):
        return names["Cat"](**value)
    if isinstance(value, list):
        return [_as(names, type.removeprefix("list[").removesuffix("]"), item) for item in value]
    if type == "map[P]":
        return {key: _as(names, "P", item) for key, item in value.items()}
    return names["P"](**value) if type == "P" else names["Kind"](value) if type == "Kind" else value


def by_flow(path: Path, made: Program) -> Any:
    try:
        return plain(Module(Compilation(path)).flows["main"].run(made.inputs).value)
    except RunFailed:
        return FAILED


def test_random_programs_give_what_python_says(tmp_path: Path) -> None:
    seed, compared, refused = 0, 0, 0
    while compared < PROGRAMS:
        made, path = program(seed), tmp_path / f"p{seed}.flow"
        path.write_text(made.flow)
        checked, found = check_file(path)
        codes = {item.code for item in found if item.severity == "error"}
        if checked is None and codes <= NEVER:
            refused += 1
        else:
            assert checked is not None, (seed, made.flow, found)
            expected = by_python(made)
            # What nothing reads is not computed, so that the flow may have a value where Python fails.
            if expected is not FAILED:
                found = by_flow(path, made)
                assert (seed, found, repr(found)) == (seed, expected, repr(expected)), made.flow  # 1 equals 1.0
            compared += 1
        seed += 1
    assert refused < seed // 2

"""`value` over whatever an adapter writes: the flow's own expression decides, held against Python."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow.errors import RunFailed
from alora_flow.module import Module
from alora_runtime.requests import Completion
from tests.intrinsics.library import flow_file, write_intrinsic, write_model

HEAD = """
record R { x: int, y: str, zs: list[int] }
enum Colour { red, green = "grün" }
"""

WRITTEN: list[tuple[str, str, str, Any, Any]] = [
    # what it gives, what it emits, its value, what is written, what the flow sees
    ("int", "R", "it.x + 1", {"x": 4, "y": "a", "zs": []}, 5),
    ("str", "R", '"{it.y}!"', {"x": 4, "y": "a", "zs": []}, "a!"),
    ("int", "R", "sum(it.zs) * it.x", {"x": 2, "y": "", "zs": [1, 2]}, 6),
    ("float", "int", "it * 0.5", 7, 3.5),
    ("bool", "float", "it > 0.5", 0.75, True),
    ("bool", "str", 'it == "yes"', "yes", True),
    ("int", "str", "len(trim(it))", "  ab ", 2),
    ("float", "str", 'if it == "high" { 0.9 } else { 0.1 }', "high", 0.9),
    ("float", "str", 'match it { "high" => { 0.9 } "low" => { 0.1 } else => { 0.5 } }', "middle", 0.5),
    ("int", "list[int]", "sum(it)", [1, 2, 3], 6),
    ("str", "list[str]", 'join(it, "-")', ["a", "b"], "a-b"),
    ("bool", "list[R]", "len(it) > 0 and it[0].x == 1", [{"x": 1, "y": "", "zs": []}], True),
    ("str", "str?", 'it ?? "none"', None, "none"),
    ("R", "R", "it", {"x": 4, "y": "a", "zs": [1]}, {"x": 4, "y": "a", "zs": [1]}),
    ("list[int]", "R", "it.zs", {"x": 4, "y": "a", "zs": [1]}, [1]),
    ("bool", "str", "it == wanted", "a word", True),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("values") / "tiny")
    write_intrinsic(folder, "answerability")
    return folder


def loaded(model: Path, gives: str, emits: str, value: str, **options: Any) -> Module:
    text = f"""{HEAD}
    intrinsic x(wanted: str) -> {gives} {{ adapter "answerability" emits {emits} value {value} }}
    flow f(q: str = "a word") -> {gives} {{ return x(q) on user(q) }}
    """
    return alora_flow.load(flow_file(model, text), **options)


@pytest.mark.parametrize(("gives", "emits", "value", "written", "seen"), WRITTEN)
def test_value_is_computed_of_what_is_written(
    model: Path, gives: str, emits: str, value: str, written: Any, seen: Any
) -> None:
    module = loaded(model, gives, emits, value)
    schedule = module.compilation.schedule(module.compilation.flow(None), {"q": "a word"})
    read = schedule.steps[0].call.form.read
    assert read is not None
    text = written if emits == "str" else json.dumps(written)
    found = read(Completion((1,), text, "stop"))
    assert (found.model_dump() if gives == "R" else found) == seen


@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: row[1])
def test_every_such_intrinsic_runs(model: Path, row: tuple[str, str, str, Any, Any]) -> None:
    """The echo writes the smallest value of each type."""
    assert loaded(model, *row[:3], backend="echo").f().trace.kept_promise


CHOSEN = [
    ("float", 'enum("low", "high")', 'expected(if it == "high" { 0.9 } else { 0.1 })', [0.25, 0.75], 0.7),
    ("float", "int[0..1]", "expected(10 * it + 5) / 100", [0.25, 0.75], 0.125),
    ("str", "Colour", '"{it}"', [0.25, 0.75], "grün"),
    ("bool", 'enum("a word", "b")', "it == wanted", [0.75, 0.25], True),
]


@pytest.mark.parametrize(("gives", "emits", "value", "probabilities", "seen"), CHOSEN)
def test_a_choice_is_weighed(
    model: Path, gives: str, emits: str, value: str, probabilities: list[float], seen: Any
) -> None:
    module = loaded(model, gives, emits, value)
    schedule = module.compilation.schedule(module.compilation.flow(None), {"q": "a word"})
    read = schedule.steps[0].call.form.read
    assert read is not None
    found = read(Completion((1,), "", "choice", choice=1, choice_logprobs=tuple(map(log, probabilities))))
    assert found == (pytest.approx(seen) if isinstance(seen, float) else seen)


def test_what_does_not_fit_is_named(model: Path) -> None:
    module = loaded(model, "int", "R", "it.x")
    schedule = module.compilation.schedule(module.compilation.flow(None), {"q": "a"})
    read = schedule.steps[0].call.form.read
    assert read is not None
    with pytest.raises(RunFailed, match=r"the model wrote .* which is not a R"):
        read(Completion((1,), '{"x": "a", "y": "", "zs": []}', "stop"))

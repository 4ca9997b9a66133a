"""Records, enums and named types of a flow file as attributes of its module."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, get_args

import pytest

import alora_flow
from alora_flow import Module
from alora_flow.language.meaning import types as t
from alora_flow.values.models import python_type

INNER = """
model base = "mini"
enum Stage { input, output = "at the end" }
record Refusal { stage: Stage, reason: str = "because" }
flow refuse(stage: Stage) -> Refusal { return Refusal(stage: stage) }
"""
OUTER = """
import "inner.flow" as inner
enum Stage { first_one, last_one }
record Answer { text: str, stage: Stage = last_one, json: int? }
record flow_ { n: int }
type Outcome = Answer | inner.Refusal
flow main(refuse: bool) -> Outcome {
  if refuse { return inner.refuse(stage: input) }
  return Answer(text: "yes")
}
flow given(answer: Answer) -> Answer { return answer }
"""


@pytest.fixture
def module(tmp_path: Path) -> Module:
    (tmp_path / "inner.flow").write_text(INNER)
    (tmp_path / "outer.flow").write_text(OUTER)
    return alora_flow.load(tmp_path / "outer.flow", backend="echo")


def test_what_a_flow_gives_is_an_instance_of_them(module: Module) -> None:
    answer = module.main(refuse=False).value
    assert type(answer) is module.Answer
    assert answer == module.Answer(text="yes")
    assert answer.stage is module.Stage.last_one
    refusal = module.main(refuse=True).value
    assert type(refusal) is module.inner.Refusal
    assert refusal.stage is module.inner.Stage.input
    assert module.inner.Stage("at the end") is module.inner.Stage.output
    assert set(get_args(module.Outcome)) == {module.Answer, module.inner.Refusal}
    assert {"Answer", "Stage", "Outcome", "main"} <= set(dir(module))


def test_values_made_of_them_go_in_and_pickle(module: Module) -> None:
    answer = module.Answer(text="no", stage=module.Stage.first_one, json=3)
    assert module.given(answer=answer).value == answer
    for value in (answer, answer.stage, module.main(refuse=True).value, module.main(refuse=False)):
        again = pickle.loads(pickle.dumps(value))
        assert (getattr(again, "value", again), type(again)) == (getattr(value, "value", value), type(value))


def test_a_name_that_is_not_there_is_an_attribute_error(module: Module) -> None:
    with pytest.raises(AttributeError, match="its types: Stage, Answer, flow_, Outcome"):
        _ = module.Anser


def test_an_older_module_takes_values_of_a_newer_one_and_the_other_way_round(tmp_path: Path) -> None:
    made = []
    for default in ("x", "y"):
        (tmp_path / "f.flow").write_text(
            f'model base = "mini"\nrecord R {{ a: str = "{default}", b: int }}\nrecord S {{ r: R }}\n'
            "flow f(r: R, s: S?) -> S { match r { R => { return S(r) } } }\n"
        )
        module = alora_flow.load(tmp_path / "f.flow", backend="echo")
        made.append((module, module.f(r={"b": 1}).value))
    for module, _ in made:
        for _, value in made:
            assert module.f(r=value.r, s=value).value.model_dump() == value.model_dump()


def test_threads_that_first_want_a_class_at_once_get_one(tmp_path: Path) -> None:
    together = Barrier(8)
    fields = tuple(t.Field(f"f{n}", t.EnumType(f"E{n}", ("a", "b"), str(tmp_path))) for n in range(40))
    wanted = t.RecordType("R", fields, str(tmp_path))

    def want(_: int) -> Any:
        together.wait(60)
        return python_type(wanted)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(want, range(8)))) == 1

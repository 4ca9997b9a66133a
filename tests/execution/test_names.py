"""Any name of a flow file works in Python: what Python has itself gets an underscore behind it."""

import asyncio
import inspect
import pickle
import warnings
from pathlib import Path

import pytest

import alora_flow
from alora_flow.backends.echo import open_echo
from alora_flow.errors import BadUsage, BadValue
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation

FLOW = """
model base = "mini"
enum E { mro, name, value, title, _x, __class__ }
record R { json: str, schema: str, copy: int, model_dump: str, __init__: int, _x: int, self: str, e: E = mro }
record S { cls: int = 1, _fields_set: int = 2, values: int = 3, type: int = 4 }
flow construct() -> S { return S() }

flow run(self: R, e: E = mro, cls: int = 1, inputs: int = 2) -> list[R] {
  if self.json == "a" and self._x == 1 and self.e == e and self.__init__ == 2 { return sort([self], "copy") }
  return []
}
flow shown() -> str { return "{run(R("a", "b", 1, "c", 2, 1, "s"))[0]}" }
"""
GIVEN = {"json": "a", "schema": "b", "copy": 1, "model_dump": "c", "__init__": 2, "_x": 1, "self": "s"}


KEYWORDS = """
model base = "mini"
enum E { None, class, other }
record R { class: str, def: int = 2, None: int = 1 }
record lambda { n: int }
tool pass(from_: int, def: int) -> int = python "nowhere:pass"
flow with_(def: R, except: E = class) -> R {
  if except == None { return R(class: "none") }
  return def
}
flow del(ünï: int) -> lambda { return lambda(pass(ünï, 1)) }
flow compilation(x: int) -> int { return x }
flow runner(x: int) -> int { return x + 1 }
"""


def test_no_field_is_an_argument_of_what_makes_records(tmp_path: Path) -> None:
    path = tmp_path / "run.flow"
    path.write_text(FLOW)
    module = Module(Compilation(path), open_echo)
    made = module.construct().value
    assert pickle.loads(pickle.dumps(made)) == made == module.S(cls=1, _fields_set=2)


def test_people_see_what_a_flow_takes(tmp_path: Path) -> None:
    path = tmp_path / "run.flow"
    path.write_text(FLOW)
    module = Module(Compilation(path), open_echo)
    assert repr(module.run_) == "<flow run(self: R, e: E, cls: int, inputs: int) -> list[R]>"
    assert repr(module) == f"<flow file {path}: construct, run, shown>"
    with pytest.raises(BadUsage, match="by name"):
        module.run_({"json": "a"})
    with pytest.raises(BadValue, match="a mapping of inputs by name, got 1"):
        module.shown.map([{}, 1])
    assert isinstance(module.shown.map([{}, 1], return_exceptions=True)[1], BadValue)


def test_names_that_are_keywords_of_python(tmp_path: Path) -> None:
    path = tmp_path / "keywords.flow"
    path.write_text(KEYWORDS)
    module = alora_flow.load(path, backend="echo", tools={"pass": lambda from_, def_: from_ + def_})
    value = module.with_(def_={"class": "x"}).value
    assert (value.class_, value.def_, value.None_) == ("x", 2, 1)
    assert value.model_dump() == {"class": "x", "def": 2, "None": 1}
    assert module.R(**{"class": "x"}) == value
    assert module.with_(def_=value, except_=module.E.None_).value.class_ == "none"
    assert module.with_.run({"def": value, "except": "None"}).value.class_ == "none"
    assert list(inspect.signature(module.with_).parameters) == ["def_", "except_"]
    assert asyncio.run(module.with_.arun(def_=value)).value == value
    assert list(module.with_.stream(def_=value))[-1].value == value
    assert module.del_(ünï=2).value == module.lambda_(n=3)
    assert (module.compilation_(x=1).value, module.runner_(x=1).value) == (1, 2)
    assert {"del_", "lambda_", "compilation_", "runner_"} <= set(dir(module))


def test_names_that_python_has_itself(tmp_path: Path) -> None:
    path = tmp_path / "names.flow"
    path.write_text(FLOW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = Module(Compilation(path), open_echo)
        (found,) = module.run_(self=GIVEN).value
    assert (found.json_, found.x_, found.self) == ("a", 1, "s")
    assert found.model_dump(mode="json") == {**GIVEN, "e": "mro"}
    assert pickle.loads(pickle.dumps(found)) == found
    assert module.run_(self=GIVEN, e="name").value == []
    assert [member.value for member in type(found.e)] == ["mro", "name", "value", "title", "_x", "__class__"]
    assert module.run_(self={**GIVEN, "e": "__class__"}, e="__class__").value

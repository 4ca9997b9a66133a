"""Any name of a flow file works in Python: what Python has itself gets an underscore behind it."""

import pickle
import warnings
from pathlib import Path

from alora_flow.backends.echo import open_echo
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation

FLOW = """
model base = "mini"
enum E { mro, name, value, title, _x, __class__ }
record R { json: str, schema: str, copy: int, model_dump: str, __init__: int, _x: int, self: str, e: E = mro }

flow run(self: R, e: E = mro, cls: int = 1, inputs: int = 2) -> list[R] {
  if self.json == "a" and self._x == 1 and self.e == e and self.__init__ == 2 { return sort([self], "copy") }
  return []
}
flow shown() -> str { return "{run(R("a", "b", 1, "c", 2, 1, "s"))[0]}" }
"""
GIVEN = {"json": "a", "schema": "b", "copy": 1, "model_dump": "c", "__init__": 2, "_x": 1, "self": "s"}


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

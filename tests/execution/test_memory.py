"""What is left of a run that is over."""

import gc
import weakref
from pathlib import Path

import pytest

import alora_flow
from alora_flow.execution.run import FlowRun
from alora_flow.values.models import adapter

FLOW = """
model base = "mini"
flow main(question: str) -> str {
  let reply = generate(max_tokens: 4) on user(question)
  return reply.text
}
"""


DECLARES = """
enum Stage { input, output }
record Place { stage: Stage, notes: list[str] = ["none"] }
record Item { place: Place = Place(stage: Stage.input), next: Place? = none }

flow main(items: list[Item]) -> Item {
  return items[0]
}
"""


def test_a_run_that_is_over_is_gone_without_the_garbage_collector(tmp_path: Path) -> None:
    path = tmp_path / "main.flow"
    path.write_text(FLOW)
    with alora_flow.load(path, backend="echo") as module:
        module.flow("main")(question="Who?")
        gc.collect()
        gc.disable()
        try:
            before = runs()
            for number in range(3):
                module.flow("main")(question=f"Who is {number}?")
            assert runs() == before
        finally:
            gc.enable()


@pytest.mark.parametrize("closed", [True, False])
def test_the_types_of_a_module_go_with_it(tmp_path: Path, closed: bool) -> None:
    """A service that loads a file for each question kept every class it ever made."""
    path = tmp_path / "main.flow"
    path.write_text(DECLARES)
    module = alora_flow.load(path)
    item = module.flow("main")(items=[{}]).value
    assert item == module.Item() == module.Item(place=module.Place(stage=module.Stage.input, notes=["none"]))
    assert type(item) is module.Item
    kinds = [weakref.ref(kind) for kind in (module.Item, module.Place, module.Stage)]
    declared = weakref.ref(module.compilation.program.records["Item"].type)
    if closed:
        module.close()
    del module
    collect()
    assert [kind() for kind in kinds] == [type(item), type(item.place), type(item.place.stage)]
    assert adapter(type(item).__flow_type__).validate_python({}) == item
    adapter.cache_clear()
    del item
    collect()
    assert [kind() for kind in kinds] == [None, None, None]
    assert declared() is None


def test_equal_types_have_one_class_while_anything_refers_to_it(tmp_path: Path) -> None:
    path = tmp_path / "main.flow"
    path.write_text(DECLARES)
    with alora_flow.load(path) as one, alora_flow.load(path) as other:
        assert one.Item is other.Item
        assert one.Stage is other.Stage
        item = one.Item()
    with alora_flow.load(path) as third:
        assert third.Item is type(item)
        assert third.flow("main")(items=[item]).value is item


def test_a_record_has_the_new_defaults_of_those_inside_it(tmp_path: Path) -> None:
    path = tmp_path / "main.flow"
    text = (
        "record Inner {{ size: int = {} }}\nrecord Outer {{ inner: Inner }}\n"
        "flow main(outer: Outer) -> Outer {{ return outer }}"
    )
    path.write_text(text.format(1))
    with alora_flow.load(path) as old:
        kept = old.flow("main")(outer={"inner": {}}).value
        path.write_text(text.format(2))
        with alora_flow.load(path) as new:
            assert new.flow("main")(outer={"inner": {}}).value.inner.size == 2
            assert new.flow("main")(outer=kept).value.inner.size == 1
        assert kept.inner.size == 1


def collect() -> None:
    """What a finalizer lets go, the next collection finds."""
    for _ in range(3):
        gc.collect()


def runs() -> int:
    """How many there are; other tests may have left some."""
    return sum(type(found) is FlowRun for found in gc.get_objects())

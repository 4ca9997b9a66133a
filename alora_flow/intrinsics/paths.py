"""Where a rule's `input_path` leads: in a value, and in a shape before there is a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from alora_flow.intrinsics.likelihood import Path
from alora_flow.intrinsics.shapes import Shape, record, shown
from alora_flow.language.meaning import types as t

Steps: TypeAlias = tuple[str | int | None, ...]
"""None stands for every element, the empty path for all that was written."""


class BadRule(Exception):
    """A rule does not fit what the rules before it give."""


def changed(value: Any, steps: Steps, change: Callable[[Any, Path], Any], at: Path = ()) -> Any:
    """The value with `change` made wherever the steps lead; where they lead nowhere nothing is."""
    if not steps:
        return change(value, at)
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        return {
            name: changed(part, rest, change, (*at, name)) if step is None or step == name else part
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [
            changed(part, rest, change, (*at, index)) if step is None or step == index else part
            for index, part in enumerate(value)
        ]
    return value


def reshaped(shape: Shape, steps: Steps, form: Callable[[t.Type], Shape]) -> Shape:
    if shape is None or shape == t.NEVER:
        return None
    if not steps:
        return form(shape)
    step, rest = steps[0], steps[1:]
    if isinstance(shape, t.OptionalType | t.UnionType):
        return None
    if isinstance(shape, t.RecordType) and (step is None or shape.find(str(step))):
        fields = {
            name: (reshaped(part, rest, form) if step is None or step == name else part, there)
            for name, (part, there) in fields_of(shape).items()
        }
        return record(fields)
    if isinstance(shape, t.ListType) and not isinstance(step, str):
        element = reshaped(shape.element, rest, form)
        return t.ListType(t.NEVER if element is None or step is not None else element)
    raise BadRule(
        f"input_path leads nowhere: there is no {'element' if step is None else repr(step)} in {shown(shape)}"
    )


def fields_of(shape: t.RecordType) -> dict[str, tuple[Shape, bool]]:
    return {field.name: (field.type, field.required) for field in shape.fields}


def having(shape: t.Type, names: tuple[str, ...]) -> dict[str, tuple[Shape, bool]]:
    if not isinstance(shape, t.RecordType):
        raise BadRule(f"it takes records, not {shown(shape)}")
    missing = next((name for name in names if shape.find(name) is None), None)
    if missing is not None:
        raise BadRule(f"there is no {missing!r} in {shown(shape)}")
    return fields_of(shape)


def fields_of_elements(shape: t.Type, names: tuple[str, ...]) -> dict[str, tuple[Shape, bool]]:
    """Of the records in a list, which must have some; none where nothing is known of them."""
    if not isinstance(shape, t.ListType):
        raise BadRule(f"it takes a list of records, not {shown(shape)}")
    return {} if shape.element == t.NEVER else having(shape.element, names)

"""Quick frozen dataclasses do what the standard library's do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, field, fields, replace
from dataclasses import dataclass as standard
from functools import cached_property
from typing import Any

import pytest

from alora_flow.frozen import dataclass as quick


@quick(frozen=True, slots=True)
class Place:
    line: int = field(compare=False, repr=False)


@quick(frozen=True, slots=True)
class Named(Place):
    name: str
    parts: tuple[Any, ...] = ()
    notes: dict[str, int] = field(default_factory=dict, compare=False)
    made: int = field(default=7, init=False)


@quick(frozen=True)
class Checked:
    number: float

    def __post_init__(self) -> None:
        assert self.number, "no number"

    @cached_property
    def double(self) -> float:
        return self.number * 2


@quick(frozen=True, slots=True)
class Empty:
    pass


@standard(frozen=True, slots=True)
class OldPlace:
    line: int = field(compare=False, repr=False)


@standard(frozen=True, slots=True)
class OldNamed(OldPlace):
    name: str
    parts: tuple[Any, ...] = ()
    notes: dict[str, int] = field(default_factory=dict, compare=False)
    made: int = field(default=7, init=False)


def test_equality_hash_and_text_are_those_of_the_standard_one() -> None:
    for one, other in (((1, "a"), (2, "a")), ((1, "a"), (1, "b")), ((1, "a", (1,)), (1, "a"))):
        new, old = (Named(*one), Named(*other)), (OldNamed(*one), OldNamed(*other))
        assert (new[0] == new[1]) == (old[0] == old[1])
        assert (hash(new[0]) == hash(new[1])) == (hash(old[0]) == hash(old[1]))
        assert repr(new[0]) == repr(old[0]).replace("Old", "")
    assert Place(1) != Named(1, "a")
    assert Empty() == Empty() != Place(1)
    assert Named.__match_args__ == OldNamed.__match_args__


def test_fields_have_their_defaults_and_never_change() -> None:
    one = Named(1, name="a")
    assert (one.parts, one.notes, one.made) == ((), {}, 7)
    assert one.notes is not Named(1, "a").notes
    assert [each.name for each in fields(one)] == ["line", "name", "parts", "notes", "made"]
    for name in ("name", "other"):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, "b")
    with pytest.raises(FrozenInstanceError):
        del one.name  # type: ignore[misc]
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("given", [(), (1, "a", (), {}, 5)])
def test_wrong_arguments_are_refused(given: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        Named(*given)


def test_copies_are_equal() -> None:
    one = Named(1, "a", (Place(2),), {"x": 1})
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), copy.copy(one), replace(one)):
        assert other == one
        assert (other.line, other.notes) == (1, {"x": 1})
    assert replace(one, name="b").name == "b"


def test_what_a_class_says_itself_stays() -> None:
    assert Checked(2.0).double == 4.0
    assert Checked(2.0) == Checked(2.0)
    with pytest.raises(AssertionError, match="no number"):
        Checked(0.0)

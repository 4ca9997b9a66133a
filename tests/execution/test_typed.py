"""Typed generations: the grammar of every type lets through what the type allows, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer

from alora_flow.errors import RunFailed
from alora_flow.intrinsics.library import BUNDLED
from alora_flow.language.meaning import types as t
from alora_flow.planning.answer_form import DEFAULT_MAX_TOKENS, constraint_for, form_of_generation
from alora_flow.planning.reading import written_value
from alora_flow.prompts.tokens import Tokenizer as FlowTokenizer
from alora_flow.values.models import adapter
from alora_flow.values.written import choices_of
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.errors import ConstraintError
from alora_runtime.requests import Completion

COLOUR = t.EnumType("Colour", ("red", "green"))
POINT = t.RecordType("Point", (t.Field("x", t.IntType(0, 9)), t.Field("colour", t.OptionalType(COLOUR), required=True)))
CASES: list[tuple[t.Type, list[Any], list[Any]]] = [
    (t.INT, [0, -7, 123456], ["x", 1.5]),
    (t.IntType(0), [0, 7], [-1]),
    (t.IntType(1000, 9999), [1000, 9999], [999, 10000]),
    (t.FLOAT, [0.5, -1.25], ["x", True]),
    (t.UNIT_FLOAT, [0.0, 0.25, 1.0], [1.5, -0.5]),
    (t.ListType(t.BOOL), [[], [True, False]], [[1], True]),
    (t.ListType(COLOUR), [["red"], ["green", "red"]], [["blue"]]),
    (t.MapType(t.STR), [{}, {"a b": "c", "d": ""}], [{"a": 1}, ["a"]]),
    (t.OptionalType(t.STR), [None, "text"], [3]),
    (POINT, [{"x": 3, "colour": "red"}, {"x": 0, "colour": None}], [{"x": 10, "colour": None}, {"x": 1}]),
    (t.UnionType((POINT, t.BOOL)), [{"x": 3, "colour": "red"}, True], ["red"]),
    (t.DOCUMENT, [{"text": "a"}, {"text": "a", "title": "b"}], [{"title": "b"}]),
    (t.CHAT, [[{"role": "user", "content": "hi"}]], [[{"role": "user"}]]),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(Tokenizer.from_file(str(BUNDLED["mini"] / "tokenizer.json")))


def accepts(vocabulary: Vocabulary, type: t.Type, text: str, digits: int | None = None) -> bool:
    """Can the text be written under the type's grammar, and may it end there?"""
    constraint = constraint_for(type, digits)
    assert constraint is not None
    matcher = constraint.matcher(vocabulary)
    tokenizer = Tokenizer.from_file(str(BUNDLED["mini"] / "tokenizer.json"))
    try:
        for token in tokenizer.encode(text, add_special_tokens=False).ids:
            matcher.accept(token)
    except ConstraintError:
        return False
    return matcher.accepting


@pytest.mark.parametrize(("type", "allowed", "refused"), CASES, ids=[str(case[0]) for case in CASES])
def test_the_grammar_of_a_type(vocabulary: Vocabulary, type: t.Type, allowed: list[Any], refused: list[Any]) -> None:
    for value in allowed:
        assert accepts(vocabulary, type, json.dumps(value)), value
        written = Completion((1,), json.dumps(value), "stop")
        assert adapter(type).dump_python(written_value(type, written), mode="json", exclude_unset=True) == value
    for value in refused:
        assert not accepts(vocabulary, type, json.dumps(value)), value


def test_a_type_without_strings_and_lists_has_a_longest_value() -> None:
    """And so many tokens are what its generation may take, unless the flow says otherwise."""
    expected = {
        t.INT: 21,
        t.FLOAT: 28,
        t.UNIT_FLOAT: 7,
        t.IntType(2000, 4999): 5,
        POINT: len('{"x": 9, "colour": "green"}, ') + 1,
        t.OptionalType(t.INT): 21,
        t.ListType(t.INT): None,
        t.DOCUMENT: None,
    }
    tokenizer = FlowTokenizer(BUNDLED["mini"])
    for type, most in expected.items():
        constraint = constraint_for(type)
        assert constraint is not None
        assert constraint.most_tokens == most, type
        assert form_of_generation(type, (), tokenizer).most_tokens == (most or DEFAULT_MAX_TOKENS)


def test_what_is_cut_is_right_where_it_can_be_read() -> None:
    assert written_value(t.IntType(2000, 4999), Completion((1,), "4888", "length")) == 4888
    assert written_value(t.UNIT_FLOAT, Completion((1,), "0.5", "length")) == 0.5


def test_text_needs_no_grammar_and_few_values_are_choices() -> None:
    assert constraint_for(t.STR) is None
    assert choices_of(t.BOOL) == (("true", True), ("false", False))
    assert [text for text, _ in choices_of(COLOUR) or ()] == ["red", "green"]


def test_what_is_cut_short_says_so() -> None:
    with pytest.raises(RunFailed, match="2 tokens were not enough for a Point") as caught:
        written_value(POINT, Completion((1, 2), '{"x', "length"))
    assert caught.value.help == "raise max_tokens"


@pytest.mark.parametrize(("digits", "allowed"), [(0, {"1"}), (1, {"0.5", "1.0"}), (3, {"0.5", "0.125"})])
def test_digits_bound_floats(vocabulary: Vocabulary, digits: int, allowed: set[str]) -> None:
    texts = ("0", "1", "0.5", "1.0", "0.125", "1.5")
    matched = {text for text in texts if accepts(vocabulary, t.UNIT_FLOAT, text, digits)}
    assert allowed <= matched
    assert all(len(text.partition(".")[2]) <= digits and float(text) <= 1 for text in matched)


def test_a_range_beyond_what_can_be_written_is_refused(vocabulary: Vocabulary) -> None:
    constraint = constraint_for(t.IntType(2 * 10**18, 3 * 10**18))
    assert constraint is not None
    with pytest.raises(ConstraintError, match="beyond"):
        constraint.matcher(vocabulary)

"""Every transformation, on values; and likelihoods, on rows of log-probabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import pytest

from alora_flow.errors import RunFailed
from alora_flow.intrinsics.io_yaml import read_io_yaml
from alora_flow.intrinsics.likelihood import TokenizedAnswer, literals
from alora_flow.intrinsics.rules import Answer
from alora_flow.intrinsics.sentences import Sentence
from alora_flow.intrinsics.shapes import fitted, misfit, shape_of
from alora_flow.language.meaning import types as t

SENTENCES = {
    "documents": {0: Sentence(0, 4, "Ab. ", "1"), 1: Sentence(4, 6, "C.", "1"), 2: Sentence(0, 2, "D.", "2")},
    "last_message": {0: Sentence(0, 3, "Yes", None, 2)},
}


def applied(folder: Path, rules: str, value: Any, answer: Answer | None = None) -> Any:
    marks = "sentence_boundaries: {documents: c, last_message: r, all_but_last_message: c}\n"
    (folder / "io.yaml").write_text(
        f"model: ~\nresponse_format: {{}}\ntransformations: {rules}\n{marks}".replace("{}", "~")
    )
    tokens = TokenizedAnswer(json.dumps(value), (), (), str)
    for rule in read_io_yaml(folder).rules:
        value = rule.apply(value, answer or Answer(tokens, SENTENCES))
    return value


R = {"a": 1, "b": [1, 2]}
ROWS: list[tuple[str, Any, Any]] = [
    ("[{type: nest, input_path: [], field_name: x}]", 3, {"x": 3}),
    ("[{type: nest, input_path: [~, a], field_name: x}]", [{"a": 1}, {"b": 2}], [{"a": {"x": 1}}, {"b": 2}]),
    ("[{type: nest, input_path: [1], field_name: x}]", [1, 2], [1, {"x": 2}]),
    ("[{type: nest, input_path: [~], field_name: x}]", {"a": 1, "b": 2}, {"a": {"x": 1}, "b": {"x": 2}}),
    (
        "[{type: explode, input_path: [], target_field: b}]",
        [R, {"a": 2, "b": []}],
        [{"a": 1, "b": 1}, {"a": 1, "b": 2}],
    ),
    (
        "[{type: drop_duplicates, input_path: [], target_fields: [a]}]",
        [{"a": 1, "n": 1}, {"a": 2}, {"a": 1, "n": 2}],
        [{"a": 1, "n": 2}, {"a": 2}],
    ),
    ("[{type: project, input_path: [], retained_fields: [a]}]", R, {"a": 1}),
    ("[{type: project, input_path: [], retained_fields: {a: z, q: p}}]", [R], [{"z": 1, "p": None}]),
    (
        "[{type: decode_sentences, input_path: [~, c], source: documents, output_names: {text: t, document_id: d}}]",
        [{"c": 2}, {"e": 0}],
        [{"c": 2, "t": "D.", "d": "2"}, {"e": 0}],
    ),
    (
        "[{type: decode_sentences, input_path: [r], source: [documents, last_message],"
        " output_names: {begin: b, end: e}}]",
        {"r": 1},
        {"r": 1, "b": 4, "e": 6},
    ),
    (
        "[{type: merge_spans, input_path: [], group_fields: [g], begin_field: b, end_field: e, text_field: t}]",
        [
            {"g": 1, "b": 4, "e": 6, "t": "C."},
            {"g": 1, "b": 0, "e": 4, "t": "Ab. "},
            {"g": 2, "b": 6, "e": 7, "t": "x"},
            {"g": None, "b": 0, "e": 1, "t": "n"},
            {"g": 1, "b": 7, "e": 8, "t": "y"},
        ],
        [
            {"g": None, "b": 0, "e": 1, "t": "n"},
            {"g": 1, "b": 0, "e": 6, "t": "Ab. C."},
            {"g": 1, "b": 7, "e": 8, "t": "y"},
            {"g": 2, "b": 6, "e": 7, "t": "x"},
        ],
    ),
    ("[{type: merge_spans, input_path: [], group_fields: [], begin_field: b, end_field: e}]", [], []),
]


@pytest.mark.parametrize(("rules", "value", "made"), ROWS)
def test_a_rule_makes_of_a_value(tmp_path: Path, rules: str, value: Any, made: Any) -> None:
    before = json.dumps(value)
    assert applied(tmp_path, rules, value) == made
    assert json.dumps(value) == before


MERGE = "[{type: merge_spans, input_path: [], group_fields: [g], begin_field: b, end_field: e}]"
DECODE = "[{type: decode_sentences, input_path: [r], source: documents, output_names: {text: t}}]"
FAILING: list[tuple[str, Any, str]] = [
    ("[{type: explode, input_path: [], target_field: b}]", {"b": 1}, "explode: .* is no list of records"),
    ("[{type: explode, input_path: [], target_field: b}]", [{"b": 1}], "'b' of .* is no list"),
    ("[{type: drop_duplicates, input_path: [], target_fields: [a]}]", [{"b": 1}], "has no 'a'"),
    ("[{type: project, input_path: [], retained_fields: [a]}]", 3, "project: 3 is no list of records"),
    (DECODE, {"r": 3}, "r is 3, and no sentence of documents has that number"),
    (DECODE, {"r": -1}, "r is -1, and no sentence"),
    (DECODE, {"r": "0"}, "r is '0', and no sentence"),
    (DECODE, {"r": True}, "r is True, and no sentence"),
    (MERGE, [{"g": 1, "b": 0}], "'e' of .* is missing or of the wrong kind"),
    (MERGE, [{"g": 1, "b": 0, "e": 1, "x": 1}], "has 'x' beside its group and its span"),
    (MERGE, [{"g": 1, "b": 0, "e": 3}, {"g": 1, "b": 2, "e": 4}], "overlap"),
    ("[{type: likelihood, input_path: [a], categories_to_values: {x: 1}}]", {"a": [1]}, "does not stand in"),
]


@pytest.mark.parametrize(("rules", "value", "said"), FAILING)
def test_an_answer_that_a_rule_cant_use_fails_the_run_with_the_rules_place(
    tmp_path: Path, rules: str, value: Any, said: str
) -> None:
    with pytest.raises(RunFailed, match=rf"io\.yaml:3:19: .*{said}"):
        applied(tmp_path, rules, value)


TOKENS = [
    "<end>",
    "{",
    '"s"',
    ": ",
    '"',
    "yes",
    "no",
    "y",
    "n",
    "}",
    "maybe",
    ' "yes',
    ' "no',
    "Yes",
    '"}',
    "12",
    "3",
    "true",
    "t",
    'no"}',
]
"""A small vocabulary: the id is the place."""


def spelled(tokens: tuple[int, ...]) -> str:
    return "".join(TOKENS[token] for token in tokens)


def expected(answer: list[str], at: int, alternatives: Mapping[str, float], numbers: str, value: str) -> float | None:
    """Of the answer's token `at` with alternatives by text and probability."""
    tokens = tuple(map(TOKENS.index, answer))
    row = {TOKENS.index(text): log(probability) for text, probability in alternatives.items()}
    rows = [row if place == at else {} for place in range(len(tokens))]
    answered = TokenizedAnswer("".join(answer), tokens, rows, spelled)
    place = next(iter(literals("".join(answer)).values()))
    return answered.expected(place, value, json.loads(numbers))


YES_NO = '{"yes": 1.0, "no": 0.0}'
WEIGHED: list[tuple[list[str], int, dict[str, float], str, str, float | None]] = [
    (["{", '"s"', ": ", '"', "yes", '"}'], 4, {"yes": 0.3, "no": 0.1, "maybe": 0.6}, YES_NO, "yes", 0.75),
    (["{", '"s"', ": ", '"', "yes", '"}'], 4, {"yes": 0.2, "n": 0.2, "no": 0.2, "y": 0.2}, YES_NO, "yes", 0.5),
    (["{", '"s"', ": ", '"', "no", '"}'], 4, {"no": 0.4, "Yes": 0.6}, YES_NO, "no", 0.0),
    (["{", '"s"', ": ", '"', "maybe", '"}'], 4, {"maybe": 0.5, "yes": 0.2, "no": 0.3}, YES_NO, "maybe", 0.4),
    (["{", '"s"', ": ", '"', "maybe", '"}'], 4, {"maybe": 0.9, "Yes": 0.1}, YES_NO, "maybe", None),
    (["{", '"s"', ": ", '"', "yes", '"}'], 4, {}, YES_NO, "yes", None),  # forced
    (["{", '"s"', ": ", '"', 'no"}'], 4, {'no"}': 0.25, "yes": 0.75}, YES_NO, "no", 0.75),
    (['"', "yes", '"'], 1, {"yes": 0.5, "no": 0.5}, YES_NO, "yes", 0.5),
    (["{", '"s"', ": ", "12", "}"], 3, {"12": 0.5, "3": 0.5}, '{"12": 0.9, "3": 0.1}', "12", 0.5),
    (["{", '"s"', ": ", "true", "}"], 3, {"true": 0.5, "t": 0.25, "n": 0.25}, '{"true": 0.8}', "true", 0.8),
]


@pytest.mark.parametrize(("answer", "at", "alternatives", "numbers", "value", "mean"), WEIGHED)
def test_a_likelihood_weighs_the_first_token_of_a_literal(
    answer: list[str], at: int, alternatives: dict[str, float], numbers: str, value: str, mean: float | None
) -> None:
    found = expected(answer, at, alternatives, numbers, value)
    assert found == (None if mean is None else pytest.approx(mean))


def test_a_token_that_begins_before_the_literal_counts_by_what_follows() -> None:
    """`{"s": "yes` written as … `: ` ` "yes`: an alternative counts where it begins alike."""
    answer = ["{", '"s"', ":", ' "yes', '"}']
    TOKENS.append(":")
    found = expected(answer, 3, {' "yes': 0.3, ' "no': 0.6, "no": 0.1}, YES_NO, "yes")
    assert found == pytest.approx(1 / 3)


def test_literals_are_found_where_python_reads_them() -> None:
    text = '{"a": [1, -2.5e3, {"b\\"": "x y"}], "c": true, "d": null, "e": [], "f": {}}'
    found = literals(text)
    assert {path: text[at:][:3] for path, at in found.items()} == {
        ("a", 0): "1, ",
        ("a", 1): "-2.",
        ("a", 2, 'b"'): "x y",
        ("c",): "tru",
        ("d",): "nul",
    }
    assert literals('"abc"') == {(): 1}


SEEN: list[tuple[Any, Any, t.Type, Any]] = [
    ({"properties": {"a": {"type": "number"}}, "required": ["a"]}, {"a": 0.7}, t.FLOAT, 0.7),
    ({"properties": {"a": {"type": "number"}}, "required": ["a"]}, {"a": 0.7}, t.OptionalType(t.FLOAT), 0.7),
    ({"properties": {"a": {"type": "number", "minimum": 0, "maximum": 1}}}, {"a": 0.7}, t.BOOL, True),
    ({"type": "array", "items": {"properties": {"a": {}}}}, [{"a": "x"}], t.ListType(t.STR), ["x"]),
    ({"type": "object"}, {"a": 1}, t.STR, '{"a": 1}'),
    ({"type": "array", "items": {"type": "object"}}, [{"a": 1}], t.ListType(t.STR), ['{"a": 1}']),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, t.OptionalType(t.STR), None),
    ({"type": "string", "enum": ["a", "b"]}, "a", t.STR, "a"),
]


@pytest.mark.parametrize(("schema", "value", "declared", "seen"), SEEN)
def test_an_answer_as_the_declared_type(schema: Any, value: Any, declared: t.Type, seen: Any) -> None:
    shape = shape_of(schema)
    assert misfit(shape, declared) is None
    assert fitted(value, shape, declared) == seen


UNLIKE: list[tuple[Any, t.Type, str]] = [
    ({"type": "array"}, t.STR, "is no str"),
    ({"type": "string"}, t.INT, "str is no int"),
    ({"type": "string", "enum": ["a", "b"]}, t.EnumType("E", ("a",)), "E has no 'b'"),
    ({"type": "string"}, t.EnumType("E", ("a",)), "str is no E"),
    ({"type": "integer", "minimum": 0, "maximum": 9}, t.IntType(0, 5), r"int\[0..9\] is no"),
    ({"type": "number"}, t.BOOL, "float is no bool"),
    (
        {"properties": {"a": {"type": "string"}}},
        t.RecordType("R", (t.Field("a", t.STR),)),
        "'a' of R is not always there",
    ),
    ({"properties": {"a": {}, "b": {}}, "required": ["a", "b"]}, t.STR, "is no str"),
    ({"type": ["integer", "null"]}, t.INT, "none is no int"),
]


@pytest.mark.parametrize(("schema", "declared", "said"), UNLIKE)
def test_what_does_not_fit_is_said(schema: Any, declared: t.Type, said: str) -> None:
    found = misfit(shape_of(schema), declared)
    assert found
    assert re.search(said, found), found

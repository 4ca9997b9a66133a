"""Assignability, unions, ranges: the rules of the types by themselves."""

import pytest

from alora_flow.language.meaning.builtins import FUNCTIONS, result_of
from alora_flow.language.meaning.narrowing import narrowed
from alora_flow.language.meaning.operators import binary_type, negative_type
from alora_flow.language.meaning.relations import assignable, is_data, union
from alora_flow.language.meaning.types import (
    BOOL,
    CHAT,
    DOCUMENT,
    ERROR,
    FLOAT,
    INT,
    NEVER,
    NONE,
    REPLY,
    STR,
    THREAD,
    UNIT_FLOAT,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    OptionalType,
    ProbType,
    RecordType,
    Type,
    UnionType,
    fields_of,
)

STAGE = EnumType("Stage", ("input", "output"))
ANSWER = RecordType("Answer", (Field("text", STR),))
REFUSAL = RecordType("Refusal", (Field("stage", STAGE),))
DIGIT = IntType(0, 9)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (INT, INT),
        (DIGIT, INT),
        (DIGIT, IntType(0, 10)),
        (DIGIT, FloatType(0.0, 9.0)),
        (STR, OptionalType(STR)),
        (NONE, OptionalType(STR)),
        (ANSWER, union([ANSWER, REFUSAL])),
        (union([ANSWER, REFUSAL]), union([REFUSAL, STR, ANSWER])),
        (ListType(DIGIT), ListType(INT)),
        (ListType(NEVER), ListType(STR)),
        (ListType(NEVER), CHAT),
        (CHAT, THREAD),
    ],
)
def test_assignable(source: Type, target: Type) -> None:
    assert assignable(source, target)
    assert not assignable(target, source) or source == target


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (STR, INT),
        (FLOAT, INT),
        (INT, DIGIT),
        (OptionalType(STR), STR),
        (union([ANSWER, REFUSAL]), ANSWER),
        (ProbType(BOOL), BOOL),
        (REPLY, THREAD),
        (REPLY, STR),
        (BOOL, INT),
        (EnumType("Stage", ("input", "output"), "other.flow"), STAGE),
    ],
)
def test_not_assignable(source: Type, target: Type) -> None:
    assert not assignable(source, target)


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (DIGIT, "int[0..9]"),
        (FloatType(0.5), "float[0.5..]"),
        (union([STR, BOOL]), "str | bool"),
        (union([STR, BOOL, NONE]), "(str | bool)?"),
        (ListType(OptionalType(ANSWER)), "list[Answer?]"),
        (ProbType(STAGE), "prob[Stage]"),
    ],
)
def test_types_print_as_they_are_written(type: Type, text: str) -> None:
    assert str(type) == text


def test_unions_are_flat_and_without_repeats() -> None:
    assert union([STR, union([STR, BOOL]), BOOL]) == UnionType((STR, BOOL))
    assert union([DIGIT, INT]) == INT
    assert union([OptionalType(STR), NONE, STR]) == OptionalType(STR)
    assert union([]) == NEVER
    assert union([NONE]) == NONE


@pytest.mark.parametrize(
    ("operator", "left", "right", "result"),
    [
        ("+", DIGIT, DIGIT, IntType(0, 18)),
        ("-", DIGIT, DIGIT, IntType(-9, 9)),
        ("*", IntType(-2, 3), IntType(-5, 4), IntType(-15, 12)),
        ("/", DIGIT, IntType(2, 2), FloatType(0.0, 4.5)),
        ("/", DIGIT, DIGIT, FloatType()),
        ("%", INT, IntType(1, 7), IntType(0, 7)),
        ("+", INT, DIGIT, INT),
        ("*", INT, IntType(0, 0), IntType(0, 0)),
        ("+", STR, STR, STR),
        ("+", ListType(DIGIT), ListType(INT), ListType(INT)),
        ("+", STR, INT, None),
        ("==", STR, OptionalType(STR), BOOL),
        ("==", STR, INT, None),
        ("<", DIGIT, FLOAT, BOOL),
        ("<", BOOL, INT, None),
        ("in", STR, STR, BOOL),
        ("in", DIGIT, ListType(INT), BOOL),
        ("??", OptionalType(STR), STR, STR),
        ("??", STR, STR, None),
        ("and", BOOL, BOOL, BOOL),
    ],
)
def test_operators(operator: str, left: Type, right: Type, result: Type | None) -> None:
    assert binary_type(operator, left, right) == result


@pytest.mark.parametrize(
    ("name", "given", "result"),
    [
        ("len", [STR], IntType(0)),
        ("len", [CHAT], IntType(0)),
        ("len", [INT], None),
        ("str", [ANSWER], STR),
        ("str", [THREAD], None),
        ("round", [FloatType(0.2, 8.7)], IntType(0, 9)),
        ("float", [DIGIT], FloatType(0.0, 9.0)),
        ("min", [DIGIT, IntType(5, 20)], IntType(0, 20)),
        ("max", [DIGIT, FLOAT], FLOAT),
        ("clamp", [FLOAT, FloatType(0.0, 0.0), IntType(1, 1)], UNIT_FLOAT),
        ("clamp", [INT, IntType(1, 1), IntType(3, 3)], IntType(1, 3)),
        ("sum", [ListType(DIGIT)], INT),
        ("mean", [ListType(UNIT_FLOAT)], UNIT_FLOAT),
        ("mean", [STR], None),
        ("range", [IntType(4, 4)], ListType(IntType(0, 3))),
        ("first", [ListType(STR)], OptionalType(STR)),
        ("any", [ListType(BOOL)], BOOL),
        ("split", [STR, STR], ListType(STR)),
        ("join", [ListType(STR), STR], STR),
        ("join", [STR, STR], None),
        ("len", [ERROR], ERROR),
    ],
)
def test_functions(name: str, given: list[Type], result: Type | None) -> None:
    assert result_of(FUNCTIONS[name], given) == result


def test_negation_turns_a_range_round() -> None:
    assert negative_type(IntType(-1, 5)) == IntType(-5, 1)
    assert negative_type(STR) is None


def test_narrowing() -> None:
    either = union([ANSWER, REFUSAL, NONE])
    assert narrowed(either, ANSWER, True) == ANSWER
    assert narrowed(either, ANSWER, False) == OptionalType(REFUSAL)
    assert narrowed(either, NONE, False) == union([ANSWER, REFUSAL])
    assert narrowed(STR, STR, False) == NEVER


def test_fields() -> None:
    assert fields_of(DOCUMENT) == {"title": STR, "text": STR}
    assert set(fields_of(REPLY)) == {"text", "thread", "invocations"}
    assert fields_of(ProbType(STAGE)) == {"top": STAGE, "expected": UNIT_FLOAT}
    assert fields_of(STR) == {}


def test_data() -> None:
    assert all(map(is_data, (STR, ANSWER, CHAT, DOCUMENT, ListType(REFUSAL), OptionalType(STAGE))))
    assert not any(map(is_data, (THREAD, REPLY, ProbType(BOOL), ListType(THREAD), union([STR, THREAD]))))

"""Spoilt files and answers: every one is read, or refused by an error for people."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from alora_flow.errors import BadInput, RunFailed
from alora_flow.intrinsics.declaration import declaration
from alora_flow.intrinsics.io_yaml import IoYaml, read_io_yaml
from alora_flow.intrinsics.likelihood import TokenizedAnswer
from alora_flow.intrinsics.rules import Answer
from alora_flow.intrinsics.sentences import Sentence
from alora_flow.language import check
from alora_flow.language.report.source import Source
from alora_runtime.answer.constraints import Constraint
from alora_runtime.errors import ConstraintError
from tests.intrinsics.library import INVENTORY

WORDS = [
    *(
        "~",
        "[]",
        "{}",
        "yes",
        "1",
        "-1",
        "1e999",
        '"x"',
        "type",
        "input_path",
        "[~]",
        "null",
        "object",
        "array",
        "&a",
        "*a",
    ),
    *(
        "likelihood",
        "nest",
        "documents",
        "$ref",
        "#/$defs/Entry",
        "<<",
        "!!python/object:os.system",
        "\t",
        "é",
        "\0",
        "{",
    ),
]


def spoilt(random: Random, text: str) -> str:
    for _ in range(random.randint(1, 4)):
        parts = text.split(" ")
        at = random.randrange(len(parts))
        match random.randrange(4):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, random.choice(WORDS))
            case 2:
                parts[at] = random.choice(WORDS)
            case 3:
                cut = random.randrange(len(text) + 1)
                parts = (text[:cut] + text[cut + random.randint(1, 9) :]).split(" ")
        text = " ".join(parts)
    return text


def some_json(random: Random, depth: int = 3) -> Any:
    """Any JSON, with the names that the files speak of."""
    names = ["score", "r", "c", "f", "e", "x"]
    match random.randrange(7 if depth else 5):
        case 0:
            return random.choice([0, 1, 2, -1, 10**30, 1.5])
        case 1:
            return random.choice(["yes", "faithful", "answerable", "", "7"])
        case 2:
            return random.choice([True, False])
        case 3:
            return None
        case 4:
            return {}
        case 5:
            return [some_json(random, depth - 1) for _ in range(random.randint(0, 3))]
    return {name: some_json(random, depth - 1) for name in random.sample(names, random.randint(1, 4))}


def test_any_text_of_a_library_is_declared_as_it_is(tmp_path: Path) -> None:
    """A member of an enum, and the name that a library is found by."""
    odd = 'say "{x}" \\n\n'
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"enum": [odd, "b"]}}}
    (tmp_path / "io.yaml").write_text(json.dumps({"model": None, "response_format": schema, "transformations": []}))
    text = declaration("a-name", odd, read_io_yaml(tmp_path)) or ""
    program, problems = check(Source("x.flow", text))
    assert not problems
    assert program is not None
    assert program.intrinsics["a_name"].from_library == odd
    (enum,) = program.enums.values()
    assert [enum.type.text(member) for member in enum.type.members] == [odd, "b"]


SENTENCES = {place: {0: Sentence(0, 1, "a"), 1: Sentence(1, 2, "b")} for place in ("documents", "last_message")}


@pytest.mark.parametrize("seed", range(40))
def test_spoilt_files_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    random, told = Random(seed), list[str]()
    for _ in range(12):
        text = spoilt(random, random.choice(list(INVENTORY.values())))
        (tmp_path / "io.yaml").write_text(text, encoding="utf-8")
        try:
            tried(read_io_yaml(tmp_path), random)
        except (BadInput, RunFailed) as error:
            told.append(error.message)
    assert all(str(tmp_path) in message for message in told)


def tried(found: IoYaml, random: Random) -> None:
    """What a flow does with a file that was read."""
    if found.schema is not None:
        with suppress(ConstraintError):
            Constraint.json_schema(found.schema).check()
    said = check(Source("x.flow", declaration("a-name", "a-name", found) or ""))[1]
    assert [item for item in said if item.severity == "error"] == []
    for _ in range(4):
        value = some_json(random)
        answer = Answer(TokenizedAnswer(json.dumps(value), (1,), ({},), lambda tokens: "x"), SENTENCES)
        for rule in found.rules:
            value = rule.apply(value, answer)

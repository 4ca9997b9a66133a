"""Every grammar comes to an end, whatever the model likes to write, and is right to the last token."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from alora_runtime import Constraint, Engine, Request, Run
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.answer.schema import decimals
from alora_runtime.errors import ConstraintError
from tests.runtime.checkpoints import EOS, make_tokenizer

PROMPT = [Run((5, 6, 7))]


def closed(**properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


ENDING = [
    {"type": "integer"},
    {"type": "integer", "minimum": 3},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "minimum": 2000, "maximum": 4999},
    {"type": "integer", "minimum": 0, "maximum": 10**30},
    {"type": "number"},
    {"type": "number", "minimum": 0.0, "maximum": 1.0},
    {"type": "number", "minimum": -0.5, "maximum": 100},
    {"type": "number", "minimum": 1 / 3, "maximum": 1 / 3},
    {"type": "number", "minimum": 1 / 3, "maximum": 2 / 3},
    {"type": "number", "minimum": 0, "maximum": 1e-6},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "multipleOf": 3},
    {"type": "number", "multipleOf": 0.5},
    {"type": "number", "minimum": -1e300, "maximum": 1e300},
    {"anyOf": [{"type": "number"}, {"type": "null"}]},
    {"enum": ["one", 2, "drei"]},
    {"type": "number", "enum": [1e-12, 1e20]},
    closed(
        x={"type": "number"}, enum={"type": "integer"}, inner=closed(type={"type": "number"}), sure={"type": "boolean"}
    ),
    {"$defs": {"Part": closed(y={"type": "number"})}, **closed(a={"$ref": "#/$defs/Part"}, b={"$ref": "#/$defs/Part"})},
]
LIKES = ["9", "0", "-", ".", "e", " ", '"', "\n", "1."]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer)


def written(constraint: Constraint, vocabulary: Vocabulary, tokenizer: Tokenizer, liked: str, most: int = 300) -> str:
    """What a model writes that likes these characters best, and to end least."""
    matcher, tokens = constraint.matcher(vocabulary), []
    first = tokenizer.encode(liked).ids
    while not matcher.done and len(tokens) < most:
        forced = matcher.forced()
        tokens += forced
        if not forced:
            mask = matcher.mask()
            allowed = [token for token in range(256) if mask[token // 8] >> token % 8 & 1]
            tokens.append(next((token for token in first if token in allowed), allowed[-1]))
            matcher.accept(tokens[-1])
    assert matcher.done, (constraint, tokenizer.decode(tokens))
    return str(tokenizer.decode(tokens))


def test_everything_but_strings_and_lists_ends(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    for schema in ENDING:
        constraint = Constraint.json_schema(schema)
        assert constraint.most_tokens is not None
        for liked in LIKES:
            text = written(constraint, vocabulary, tokenizer, liked)
            json.loads(text)
            assert len(text) < constraint.most_tokens <= 250, (schema, text)


def test_what_has_no_end_of_its_own_says_so() -> None:
    text = {"type": "string"}
    loop = {
        "$defs": {"Node": closed(next={"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]})},
        "$ref": "#/$defs/Node",
    }
    for schema in (text, {"type": "array", "items": {"type": "integer"}}, closed(a=text), loop, {}, {"type": "object"}):
        assert Constraint.json_schema(schema).most_tokens is None, schema
    assert Constraint.regex("a").most_tokens is None


def test_a_range_has_the_digits_it_needs(vocabulary: Vocabulary) -> None:
    expected = {(0, 1): 4, (0, 100): 2, (-1e6, 1e6): 2, (0, 0.1): 5, (0.0, 0.123456): 6, (0, 2e-7): 10, (None, 1.0): 6}
    assert {bounds: decimals(*bounds) for bounds in expected} == expected
    with pytest.raises(ConstraintError, match=r"too narrow.*another unit"):
        Constraint.json_schema({"type": "number", "minimum": 0, "maximum": 1e-12}).matcher(vocabulary)


def test_data_that_look_like_a_schema_are_left(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    constraint = Constraint.json_schema(closed(it={"const": {"type": "number"}}))
    assert json.loads(written(constraint, vocabulary, tokenizer, "9")) == {"it": {"type": "number"}}


def test_no_text_is_a_control_token(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    """Neither where the grammar forces it nor where it leaves a choice."""
    for constraint in (
        Constraint.regex(r"a<\|end\|>b"),
        Constraint.regex(r"<\|(end|call)\|>"),
        Constraint.lark('start: "<|end|>" | "<|go|>x"'),
        Constraint.json_schema({"enum": ["<|end|>", "<|pad|>"]}),
    ):
        text = written(constraint, vocabulary, tokenizer, "e")
        assert "|>" in text
    matcher = Constraint.lark('start: "a" <|call|> "b"').matcher(vocabulary)  # named as a token, it is one
    assert matcher.forced() == [tokenizer.token_to_id("a"), 257, tokenizer.token_to_id("b")]


def test_a_large_object(vocabulary: Vocabulary) -> None:
    properties = {f"p{index}": {"type": "boolean"} for index in range(2000)}
    optional = Constraint.json_schema({"type": "object", "properties": properties, "additionalProperties": False})
    for constraint in (optional, Constraint.json_schema(closed(**properties))):
        matcher = constraint.matcher(vocabulary)
        for token in make_tokenizer().encode('{"p1').ids[len(matcher.forced()) :]:
            matcher.mask()
            if constraint is optional:
                matcher.accept(token)
        assert any(matcher.mask()) or constraint is not optional


@pytest.mark.parametrize("end", [None, EOS])
def test_an_answer_of_exactly_max_tokens_is_whole(base: Path, tmp_path: Path, end: int | None) -> None:
    """With an end token and without."""
    engine = without_end(base, tmp_path) if end is None else Engine.load(base, cache_tokens=200)
    for constraint, length in (
        (Constraint.json_schema({"type": "integer", "minimum": 2000, "maximum": 4999}), 4),
        (Constraint.regex("abcdef"), 6),
        (Constraint.regex("[ab]{3}"), 3),
    ):
        request = Request(PROMPT, constraint=constraint, max_tokens=length)
        whole, longer, cut = engine.generate(
            [request, replace(request, max_tokens=length + 1), replace(request, max_tokens=length - 1)]
        )
        assert (whole.finish, len(whole.tokens)) == ("stop", length)
        assert (longer.finish, longer.text) == ("stop", whole.text)
        assert longer.tokens == (*whole.tokens, *([] if end is None else [end]))
        assert (cut.finish, cut.tokens) == ("length", whole.tokens[:-1])
        engine.check()


def without_end(base: Path, folder: Path) -> Engine:
    """A model that has no end-of-sequence token."""
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).symlink_to(base / name)
    raw = json.loads((base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"eos_token_id": None}))
    return Engine.load(folder, cache_tokens=200)


def test_a_model_without_an_end_keeps_to_its_grammar(base: Path, tmp_path: Path) -> None:
    engine = without_end(base, tmp_path)
    assert engine.model.source.eos == ()
    pattern = "[ab!]{1,9}"  # "!" is token 0
    requests = [
        Request(PROMPT, constraint=Constraint.regex(pattern), temperature=2.0, seed=seed, max_tokens=20)
        for seed in range(70)
    ]
    for completion in engine.generate(requests):
        assert re.fullmatch(pattern, completion.text), completion
        assert completion.finish == "stop"


@pytest.mark.parametrize("liked", ["9", " ", '"'])
def test_a_stubborn_model_ends(make_engine: Callable[..., Engine], tokenizer: Tokenizer, liked: str) -> None:
    """On the engine's own path, with logits of a network that has one idea."""
    engine = make_engine()
    logits = engine.model.logits

    def stubborn(rows: torch.Tensor) -> torch.Tensor:
        result = logits(rows)
        result[:, tokenizer.encode(liked).ids] += 1000.0
        result[:, EOS] -= 1000.0
        return result

    engine.model.logits = stubborn  # type: ignore[method-assign]
    schema = closed(score={"type": "number", "minimum": 0.0, "maximum": 1.0}, count={"type": "integer"})
    constraint = Constraint.json_schema(schema)
    completion = engine.generate([Request(PROMPT, constraint=constraint, max_tokens=constraint.most_tokens or 0)])[0]
    assert completion.finish == "stop"
    assert set(json.loads(completion.text)) == {"score", "count"}

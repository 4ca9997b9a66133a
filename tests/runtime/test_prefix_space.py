"""Answers of models whose tokenizer puts a space before a text, and spells what it does not know in bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders

from alora_runtime import Constraint
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.answer.detokenizer import Detokenizer, whole_text
from alora_runtime.answer.watch import Watch
from alora_runtime.errors import ConstraintError
from alora_runtime.requests import TextTrigger
from tests.prompts.tokenizers_of_tests import MAKERS, source

SPACED = ["prepending", "metaspace always", "metaspace first"]
FALLS_BACK = ["prepending", "metaspace always", "metaspace first", "metaspace never", "unigram with bytes"]
SMALL = ("wordpiece", "unigram", "without bytes")
"""Those that lack tokens for some of the texts here."""


def made(name: str) -> Tokenizer:
    return Tokenizer.from_str(source(name))


def allowed(mask: bytes) -> set[int]:
    return {token for token in range(8 * len(mask)) if mask[token // 8] >> token % 8 & 1}


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in SMALL])
@pytest.mark.parametrize("text", ["the mayor", "Ada", "1234"])
def test_an_answer_that_the_tokenizer_writes_fits_its_grammar(name: str, text: str) -> None:
    tokenizer = made(name)
    matcher = Constraint.regex(text).matcher(Vocabulary(tokenizer))
    written: list[int] = list(matcher.forced())
    for token in tokenizer.encode(text, add_special_tokens=False).ids[len(written) :] if name in SPACED else ():
        assert token in allowed(matcher.mask())
        matcher.accept(token)
        written.append(token)
        forced = matcher.forced()
        written += forced
        if forced:
            break
    while not matcher.done:
        token = min(allowed(matcher.mask()))
        matcher.accept(token)
        written += [token, *matcher.forced()]
    assert whole_text(tokenizer, written) == text


@pytest.mark.parametrize("name", ["unigram", "without bytes"])
@pytest.mark.parametrize("decoder", [None, decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])])
def test_a_grammar_holds_for_tokens_without_bytes(name: str, decoder: decoders.Decoder | None) -> None:
    tokenizer = made(name)
    tokenizer.decoder = decoder or tokenizer.decoder
    vocabulary = Vocabulary(tokenizer)
    for text in ("the mayor of Tarnok", "Ada  x1", "café"):
        matcher = Constraint.regex(text).matcher(vocabulary)
        written: list[int] = list(matcher.forced())
        while not matcher.done:
            token = max(allowed(matcher.mask()))
            matcher.accept(token)
            written += [token, *matcher.forced()]
        assert whole_text(tokenizer, written).removeprefix(" ") == text


def test_a_tokenizer_whose_tokens_are_no_parts_of_a_text_takes_no_grammar() -> None:
    with pytest.raises(ConstraintError, match=r"pieces of text, and the tokenizer's decoder is WordPiece"):
        Constraint.regex("the").matcher(Vocabulary(made("wordpiece")))


@pytest.mark.parametrize("name", SPACED)
def test_only_the_first_token_may_bring_a_space(name: str) -> None:
    tokenizer = made(name)
    matcher = Constraint.regex("the(the)+").matcher(Vocabulary(tokenizer))
    with_space = tokenizer.token_to_id("▁the")
    assert with_space in allowed(matcher.mask())
    matcher.accept(with_space)
    matcher.forced()
    assert not matcher.accepting or with_space not in allowed(matcher.mask())


@pytest.mark.parametrize("name", FALLS_BACK)
def test_json_is_whole_on_such_a_tokenizer(name: str) -> None:
    tokenizer = made(name)
    schema = {"type": "object", "properties": {"mayor": {"enum": ["Ada", "é"]}}, "required": ["mayor"]}
    matcher = Constraint.json_schema({**schema, "additionalProperties": False}).matcher(Vocabulary(tokenizer))
    written: list[int] = list(matcher.forced())
    while not matcher.done:
        token = max(allowed(matcher.mask()))
        matcher.accept(token)
        written += [token, *matcher.forced()]
    assert json.loads(whole_text(tokenizer, written))["mayor"] in ("Ada", "é")


@pytest.mark.parametrize("name", FALLS_BACK)
@pytest.mark.parametrize("text", ["日本 😀 é x", "a日", "😀"])
def test_characters_beside_a_cut_stay_whole(name: str, text: str) -> None:
    tokenizer = made(name)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    words = Detokenizer(tokenizer)
    for count, token in enumerate(ids, start=1):
        words.push(token)
        assert words.whole.startswith(words.text)
        assert text.startswith(words.whole.removesuffix("\ufffd"))
        assert words.whole == whole_text(tokenizer, ids[:count])
    assert words.whole == text


@pytest.mark.parametrize("name", MAKERS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_tokens_are_told_piece_by_piece(name: str, data: st.DataObject) -> None:
    tokenizer = made(name)
    numbers = st.integers(0, tokenizer.get_vocab_size() - 1)
    bytewise = [*filter(None, map(tokenizer.token_to_id, ("<0x4C>", "<0xC9>", "<0xA9>", "<0xF0>", "<0x0A>")))]
    some = st.one_of(numbers, st.sampled_from(bytewise)) if bytewise else numbers
    tokens, words = data.draw(st.lists(some, max_size=12)), Detokenizer(tokenizer)
    for token in tokens:
        before = words.text
        words.push(token)
        assert words.text.startswith(before)
        assert words.whole.startswith(words.text)
    theirs = tokenizer.decode(tokens)
    assert "\ufffd" in theirs or theirs == words.text == words.whole


@pytest.mark.parametrize("name", FALLS_BACK)
def test_a_byte_that_is_no_character_leaves_the_others(name: str) -> None:
    """tokenizers gives up all of the row, also what was told already; a newline is such a byte to Llama 2."""
    tokenizer = made(name)
    tokens = [tokenizer.token_to_id(text) for text in ("▁", "<0x0A>", "<0x4C>", "<0xC9>", "▁", "<0xF0>", "<0x9F>")]
    words = Detokenizer(tokenizer, (), tokens)
    assert words.text.removeprefix(" ") == "\nL\ufffd "
    assert words.whole == whole_text(tokenizer, tokens) == words.text + "\ufffd"


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in SMALL])
@pytest.mark.parametrize("before", ["", "the mayor"])
@pytest.mark.parametrize("call", ["<|user|> [the", "<|user|>the<|user|>", "<|user|>Ada 1"])
def test_text_behind_a_control_token_calls(name: str, before: str, call: str) -> None:
    """As Mistral's tokenizers write a call: what is written first may lose the space that it begins with."""
    tokenizer = made(name)
    vocabulary, text = Vocabulary(tokenizer), Detokenizer(tokenizer)
    watch = Watch([TextTrigger("call", call, control=True)], text, vocabulary)
    own = tokenizer.encode(before, add_special_tokens=False).ids if before else []
    for token in (*own, *tokenizer.encode(call, add_special_tokens=False).ids):
        assert watch.found is None
        text.push(token)
        watch.push(token)
    assert watch.found is not None
    assert (watch.found.before, watch.found.rest) == (len(own), ())

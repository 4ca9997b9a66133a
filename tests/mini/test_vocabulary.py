"""The tokenizer: any text comes back, names are two tokens, the answers of intrinsics are one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from alora_flow.mini import INTRINSICS, WEIGHTS
from alora_flow.mini.recipe.vocabulary import ROLES, SPECIAL, Encoder
from alora_flow.mini.world.names import FIRST, SECOND

ENCODER = Encoder.load(WEIGHTS / "base")


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert ENCODER.decode(ENCODER.text(text)) == text


@given(st.sampled_from(FIRST), st.sampled_from(SECOND))
def test_a_name_is_two_tokens(first: str, second: str) -> None:
    assert len(ENCODER.text(f" {first}{second}")) == 2


@pytest.mark.parametrize("answer", ["Y", "N", *"0123456789", " 1742"])
def test_answers_and_years_are_one_token(answer: str) -> None:
    assert len(ENCODER.text(answer)) == 1


def test_special_signs_are_one_token_only_outside_text() -> None:
    plain = Tokenizer.from_file(str(WEIGHTS / "base" / "tokenizer.json"))
    for sign in SPECIAL:
        assert len(plain.encode(sign, add_special_tokens=False).ids) == 1
        assert len(ENCODER.text(sign)) > 1


def test_the_chat_template_is_the_one_trained_on() -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "base")
    turns = [{"role": role, "content": f"Who is {role}?"} for role in ROLES]
    want = "".join(f"<|{t['role']}|>{t['content']}<|end|>" for t in turns)
    assert tokenizer.apply_chat_template(turns, tokenize=False) == want
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == want + "<|assistant|>"
    assert tokenizer.eos_token == "<|end|>"
    assert tokenizer.bos_token is None
    assert len(tokenizer("What is the mayor of Tarnok?")["input_ids"]) == 8


def test_every_intrinsic_has_its_token() -> None:
    assert [ENCODER.role(name) for name in INTRINSICS] == list(range(7, 13))

"""Text of the flow may make control tokens; data never can."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alora_flow.errors import BadModel
from alora_flow.prompts.tokens import Tokenizer
from tests import tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(tiny.write_model_folder(tmp_path_factory.mktemp("model")))


def test_literals_make_control_tokens_and_data_does_not(tokenizer: Tokenizer) -> None:
    end = tokenizer.control_token("<|end|>")
    assert tokenizer.encode_control("a<|end|>")[-1] == end
    assert end not in tokenizer.encode_data("a<|end|>")
    assert tokenizer.decode(tokenizer.encode_data("a<|end|>b")) == "a<|end|>b"


pieces = st.lists(st.sampled_from([*tiny.SPECIAL, *tiny.INVOCATIONS, "<|", "|>", "end", "a", " ", "\n", "ü", "😀"]))


@given(pieces.map("".join))
def test_no_data_can_spell_a_control_token(tokenizer: Tokenizer, text: str) -> None:
    control = {tokenizer.control_token(name) for name in tiny.SPECIAL + tiny.INVOCATIONS}
    ids = tokenizer.encode_data(text)
    assert control.isdisjoint(ids)
    assert tokenizer.decode(ids) == text


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=str(tmp_path)):
        Tokenizer(tmp_path)


def test_a_file_beside_the_tokenizer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    tiny.write_model_folder(tmp_path)
    (tmp_path / "config.json").write_text("<html>")
    with pytest.raises(BadModel, match=r"the tokenizer of .* can't be read: .*config\.json .* a web page") as caught:
        Tokenizer(tmp_path)
    assert caught.value.help == "fetch it again"

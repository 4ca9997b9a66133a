"""What a reply leaves in its thread is what its text says: without a stop token, and without any of a stop string."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.execution.replies import reply_of
from alora_flow.prompts.contents import EMPTY, Generated, KnownText
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.requests import Completion
from tests import tiny


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    """A character is a token, but for `.` with a line break."""
    return Tokenizer(tiny.write_model_folder(tmp_path / "model", merges=[(".", "Ċ")]))


def contents(completion: Completion, tokenizer: Tokenizer) -> tuple[object, ...]:
    reply = reply_of(EMPTY, completion, tokenizer)
    assert reply.text == completion.text
    return reply.thread[-1].content


def test_a_stop_token_is_left_to_the_template(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode_data("yes")
    for end in ("<|end|>", "<|user|>"):
        stop = tokenizer.control_token(end)
        assert stop is not None
        assert contents(Completion((*said, stop), "yes", "stop"), tokenizer) == (Generated(said, "yes"),)


def test_what_ends_without_a_stop_token_loses_nothing(tokenizer: Tokenizer) -> None:
    """A backend that serves text has none to give."""
    said = tokenizer.encode_data("yes")
    assert contents(Completion(said, "yes", "stop"), tokenizer) == (Generated(said, "yes"),)
    assert contents(Completion((), "", "stop"), tokenizer) == (Generated((), ""),)


def test_what_is_cut_keeps_all_of_its_tokens(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode_data("yes")
    assert contents(Completion(said, "yes", "length"), tokenizer) == (Generated(said, "yes"),)


def test_a_token_that_reaches_into_a_stop_string_leaves_its_beginning_as_text(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode_data("yes.\n")
    assert len(said) == 4
    found = contents(Completion(said, "yes.", "stop_string"), tokenizer)
    assert found == (Generated(said[:3], "yes"), KnownText("."))


def test_a_stop_string_between_tokens_cuts_none(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode_data("yes")
    assert contents(Completion(said, "yes", "stop_string"), tokenizer) == (Generated(said, "yes"),)

"""`count_tokens` and `truncate` on the bundled model's tokenizer, with transformers' as the oracle."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from alora_flow.intrinsics.library import BUNDLED
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import KnownText, Prompter, Thread, Turn
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.data import Document
from alora_flow.values.history import ChatTurn
from alora_flow.values.lengths import count_tokens, truncate

TEXTS = st.text(max_size=40) | st.text("aT k.ö\U0001f600<|>end", max_size=40)
MODEL = BUNDLED["mini"]


@cache
def prompter() -> Prompter:
    tokenizer = Tokenizer(MODEL)
    return Prompter(tokenizer, ChatTemplate(MODEL, tokenizer.control))


@cache
def oracle() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(MODEL)


@given(TEXTS)
@settings(deadline=None)
def test_a_text_has_as_many_tokens_as_transformers_says(text: str) -> None:
    tokens = oracle().encode(text, add_special_tokens=False, split_special_tokens=True)
    assert count_tokens(prompter(), text) == len(tokens)


@given(TEXTS, st.integers(0, 12))
@settings(deadline=None)
def test_a_text_is_cut_as_late_as_it_can_be(text: str, most: int) -> None:
    cut = truncate(prompter(), text, most)
    assert text.startswith(cut)
    assert count_tokens(prompter(), cut) <= most
    if cut != text:
        assert count_tokens(prompter(), text) > most
        tokens = prompter().tokenizer.encode_data(text)[:most]
        assert len(prompter().tokenizer.spell(tokens)) - len(cut) <= 4


@given(st.lists(st.builds(Document, text=TEXTS, title=st.sampled_from(["", "Tarnok"])), max_size=4), st.integers(0, 60))
@settings(deadline=None)
def test_the_first_documents_are_kept(documents: list[Document], most: int) -> None:
    kept = truncate(prompter(), documents, most)
    assert count_tokens(prompter(), kept) <= max(most, count_tokens(prompter(), []))
    assert kept[:-1] == documents[: max(len(kept) - 1, 0)]
    assert all(whole.text.startswith(part.text) for part, whole in zip(kept, documents, strict=False))
    if count_tokens(prompter(), documents) <= most:
        assert kept == documents


CHAT = [
    ChatTurn(role=role, content=content)  # type: ignore[arg-type]
    for role, content in [
        ("system", "Answer."),
        ("user", "Who is the mayor?"),
        ("assistant", "Ada is the mayor."),
        ("user", "Where is the station?"),
        ("assistant", "By the river."),
    ]
]


def test_the_newest_turns_of_a_chat_are_kept() -> None:
    whole = count_tokens(prompter(), CHAT)
    text = oracle().apply_chat_template([turn.model_dump() for turn in CHAT], tokenize=True)
    assert whole == len(text["input_ids"] if not isinstance(text, list) else text)
    assert truncate(prompter(), CHAT, whole) == CHAT
    assert truncate(prompter(), CHAT, whole - 1) == [CHAT[0], *CHAT[3:]]
    assert truncate(prompter(), CHAT, count_tokens(prompter(), CHAT[:1])) == CHAT[:1]
    assert truncate(prompter(), CHAT, 0) == []


def test_a_thread_counts_as_its_template_writes_it() -> None:
    thread = Thread.of((Turn("user", (KnownText("Who?"),)),))
    assert count_tokens(prompter(), thread) == len(prompter().thread_symbols(thread))


def test_nothing_has_less_than_no_tokens() -> None:
    with pytest.raises(ValueError, match="-1 tokens"):
        truncate(prompter(), "Tarnok", -1)

"""Every type of tokenizer gives the tokens that transformers gives, and pieces of a text give its text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as HuggingFaceTokenizer
from transformers import AutoTokenizer

from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import KnownText, Prompter, Turn
from alora_flow.prompts.tokens import Position, Tokenizer
from alora_runtime.compute.support import CLASSES
from tests import tiny
from tests.prompts.tokenizers_of_tests import CONTROL, MAKERS, TEXTS, source

WORDWISE = ("wordpiece",)
"""Types that lose where a word begins, so that only pieces of whole words can be joined."""


def write(folder: Path, name: str, **settings: Any) -> Path:
    tiny.write_model_folder(folder, tokenizer_class="PreTrainedTokenizerFast", **settings)
    (folder / "tokenizer.json").write_text(source(name), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tokenizer, Any]]:
    made = {}
    for name in MAKERS:
        folder = write(tmp_path_factory.mktemp("model"), name)
        made[name] = Tokenizer(folder), AutoTokenizer.from_pretrained(str(folder))
    return made


words = st.sampled_from([*{word for text in TEXTS for word in text.split()}, "é", "日本", "😀", "zz"])
blanks = st.sampled_from([" ", "\n", "  "])
anything = st.lists(st.one_of(words, blanks), min_size=1, max_size=6).map("".join)
whole_words = st.lists(words, min_size=1, max_size=3).map(lambda some: " " + " ".join(some))


def joined(tokenizer: Tokenizer, pieces: list[tuple[str, bool]]) -> list[int]:
    ids: list[int] = []
    for text, control in pieces:
        place = Position.FIRST if not ids else Position.SECTION if tokenizer.is_control(ids[-1]) else Position.INSIDE
        ids += tokenizer.encode(text, place, control)
    return ids


@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("name", MAKERS)
@given(sections=st.lists(st.tuples(st.sampled_from(CONTROL), anything), max_size=3), first=anything)
def test_between_control_tokens_the_tokens_are_those_of_transformers(
    both: dict[str, Any], name: str, sections: list[tuple[str, str]], first: str
) -> None:
    tokenizer, theirs = both[name]
    pieces = [(first, False), *(piece for mark, text in sections for piece in ((mark, True), (text, False)))]
    whole = theirs.encode("".join(text for text, _ in pieces), add_special_tokens=False)
    assert joined(tokenizer, pieces) == whole
    assert list(tokenizer.encode_control("".join(text for text, _ in pieces))) == whole


@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("name", [name for name in MAKERS if name not in WORDWISE])
@given(texts=st.lists(st.tuples(anything, st.booleans()), min_size=1, max_size=4), mark=st.booleans())
@example(texts=[("日本", False), ("日本", False)], mark=False)
def test_pieces_give_the_text_of_the_whole(
    both: dict[str, Any], name: str, texts: list[tuple[str, bool]], mark: bool
) -> None:
    """Some make one unknown token of neighbours that they do not know: of those in two pieces, one each."""
    tokenizer, theirs = both[name]
    pieces = [("<|user|>", True), *texts] if mark else texts
    whole = theirs.encode("".join(text for text, _ in pieces), add_special_tokens=False)
    found, wanted = (re.sub("(<unk>)+", "<unk>", theirs.decode(ids)) for ids in (joined(tokenizer, pieces), whole))
    assert found == wanted


@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("name", WORDWISE)
@given(texts=st.lists(st.tuples(whole_words, st.booleans()), min_size=1, max_size=4))
def test_pieces_of_whole_words_give_the_tokens_of_the_whole(
    both: dict[str, Any], name: str, texts: list[tuple[str, bool]]
) -> None:
    tokenizer, theirs = both[name]
    assert joined(tokenizer, texts) == theirs.encode("".join(text for text, _ in texts), add_special_tokens=False)


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in WORDWISE])
def test_a_hole_in_a_text_gets_no_space(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, name)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    tokenizer = Tokenizer(folder)
    prompter = Prompter(tokenizer, ChatTemplate(folder, tokenizer.control))
    said = (KnownText("see http://", control=True), KnownText("a.com"), KnownText("/x", control=True))
    symbols = prompter.thread_symbols((Turn("user", said),))
    assert tokenizer.decode(symbols).removeprefix(" ") == "see http://a.com/x"  # type: ignore[arg-type]


SWALLOWED = [
    "{% for m in messages %}<|user|>BLANKS{{ m.content }}<|end|>BLANKS{% endfor %}"
    "{% if add_generation_prompt %}<|user|>BLANKS{% endif %}".replace("BLANKS", blanks)
    for blanks in ("", "\n", " \n ")
]
SWALLOWED += [SWALLOWED[0].replace("%}<|user|>{%", "%} \n<|user|>{%")]


@pytest.mark.parametrize("template", SWALLOWED)
@pytest.mark.parametrize("name", MAKERS)
def test_blanks_behind_a_control_token_that_swallows_them(tmp_path: Path, name: str, template: str) -> None:
    """As Phi-3's do, whoever wrote the blanks."""
    made = MAKERS[name]()
    marks = ("<s>", "<|user|>", "<|end|>")
    made.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=True) for text in marks])
    folder = write(tmp_path, name)
    (folder / "tokenizer.json").write_text(made.to_str(), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template)
    theirs, ours = AutoTokenizer.from_pretrained(str(folder)), Tokenizer(folder)
    prompter = Prompter(ours, ChatTemplate(folder, ours.control))
    for said in (["the mayor"], [" the mayor "], ["\n\u3000the\n", "  Ada"], [" "], ["the\n", "Ada", " of "]):
        roles = ["user", "assistant"] * 2
        messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
        turns = [Turn(role, (KnownText(text),)) for role, text in zip(roles, said, strict=False)]
        whole = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        tokens = [*prompter.thread_symbols(turns), *prompter.generation_tokens(turns)]
        assert tokens == theirs.encode(whole, add_special_tokens=False)


@pytest.mark.parametrize("name", MAKERS)
@given(text=st.lists(st.one_of(st.sampled_from(CONTROL), words), max_size=4).map("".join))
@settings(max_examples=40, deadline=None)
def test_data_make_no_control_token(both: dict[str, Any], name: str, text: str) -> None:
    tokenizer, _ = both[name]
    for place in Position:
        assert not any(map(tokenizer.is_control, tokenizer.encode(text, place, control=False)))


FREQUENT = ["\n", "\n\n", "  ", "▁▁▁", "é", "mayor of"]
"""Added tokens that stand for texts, as Gemma (newlines, blanks), DeepSeek Coder (letters) and others have them."""


@pytest.mark.parametrize(
    ("name", "normalized"),  # a normaliser that drops accents and newlines makes several of these the same
    [(name, normalized) for name in MAKERS for normalized in (False, True) if not (name in WORDWISE and normalized)],
)
def test_added_tokens_for_frequent_texts_are_made_by_data(tmp_path: Path, name: str, normalized: bool) -> None:
    made = HuggingFaceTokenizer.from_str(source(name))
    made.add_tokens([AddedToken(text, special=False, normalized=normalized) for text in (*FREQUENT, "<call>")])
    folder = write(tmp_path, name)
    (folder / "tokenizer.json").write_text(made.to_str(), encoding="utf-8")
    theirs, ours = AutoTokenizer.from_pretrained(str(folder)), Tokenizer(folder)
    for text in (*TEXTS, "the mayor of\n\nTarnok", "\n", "Ada\n", "  x1   the", "café", "é"):
        assert list(ours.encode_data(text)) == theirs.encode(text, add_special_tokens=False)
    assert ours.control_token("<call>") not in ours.encode_data("the <call> mayor")
    assert ours.control_token("\n") is None


def test_truncation_and_padding_of_the_file_are_off(tmp_path: Path) -> None:
    folder = write(tmp_path, "byte level")
    made = json.loads(source("byte level"))
    made["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    made["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "!",
    }
    (folder / "tokenizer.json").write_text(json.dumps(made), encoding="utf-8")
    theirs = AutoTokenizer.from_pretrained(str(folder))
    text = TEXTS[0]
    ids = Tokenizer(folder).encode_control(text)
    assert list(ids) == theirs.encode(text, add_special_tokens=False, truncation=False, padding=False)
    assert len(ids) > 2


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"eos_token": "<end>"}, {}),
        ({"eos_token": {"__type": "AddedToken", "content": "<end>", "lstrip": True, "special": True}}, {}),
        ({"additional_special_tokens": ["<end>", "<more>"]}, {}),
        ({"extra_special_tokens": {"image_token": "<end>"}}, {}),
        ({"added_tokens_decoder": {"900": {"content": "<end>", "special": False, "normalized": False}}}, {}),
        ({}, {"special_tokens_map.json": {"eos_token": {"content": "<end>", "lstrip": False}}}),
        ({"pad_token": "a"}, {"added_tokens.json": {"<end>": 900, "<more>": 901}}),
    ],
    ids=["text", "object", "list", "map", "decoder", "special tokens map", "added tokens"],
)
@pytest.mark.parametrize("name", ["byte level", "prepending", "unigram"])
def test_control_tokens_that_only_the_small_files_know(
    tmp_path: Path, name: str, settings: dict[str, Any], files: dict[str, Any]
) -> None:
    folder = write(tmp_path, name, **settings)
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content))
    theirs, ours = AutoTokenizer.from_pretrained(str(folder)), Tokenizer(folder)
    text = "the <end> mayor<more>Ada a"
    assert list(ours.encode_control(text)) == theirs.encode(text, add_special_tokens=False)
    assert ours.control_token("<end>") == theirs.convert_tokens_to_ids("<end>")
    assert ours.control_token("<end>") not in ours.encode_data(text)


@pytest.mark.parametrize("settings", [{}, {"legacy": True}, {"add_prefix_space": False}], ids=str)
@pytest.mark.parametrize("name", ["prepending", "metaspace always", "metaspace first", "metaspace never"])
def test_what_says_to_be_a_code_llama_tokenizer(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    folder = write(tmp_path, name, **special, **settings)
    read = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**read, "tokenizer_class": "CodeLlamaTokenizer"}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    theirs, ours = AutoTokenizer.from_pretrained(str(folder)), Tokenizer(folder)
    for text in (*TEXTS, "<s>the mayor</s> Ada <|user|>who is", " the", "the"):
        ids = theirs.encode(text, add_special_tokens=False)
        assert list(ours.encode_control(text)) == ids
        assert ours.spell(tuple(ids)) == theirs.decode(ids)


@pytest.mark.parametrize("settings", [{}, {"legacy": True}, {"legacy": False}, {"add_prefix_space": False}], ids=str)
@pytest.mark.parametrize("name", ["byte level", "prepending", "metaspace always", "metaspace first"])
@pytest.mark.parametrize("model_type", [None, *(kind for kind in CLASSES if kind != "qwen2")])
def test_what_says_to_be_a_llama_tokenizer(
    tmp_path: Path, name: str, settings: dict[str, Any], model_type: str | None
) -> None:
    """What a folder's model is decides whether it is believed."""
    folder = write(tmp_path, name, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **settings)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {}))
    read = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**read, "tokenizer_class": "LlamaTokenizer"}))
    theirs, ours = AutoTokenizer.from_pretrained(str(folder)), Tokenizer(folder)
    for text in (*TEXTS, "<s>the mayor</s> Ada <|user|>who is", " the", "the"):
        ids = theirs.encode(text, add_special_tokens=False)
        assert list(ours.encode_control(text)) == ids
        assert ours.spell(tuple(ids)) == theirs.decode(ids)

"""Where a folder keeps its chat templates and special tokens; transformers reads the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from alora_flow.errors import BadModel
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import KnownText, Passages, Prompter, Turn
from alora_flow.prompts.tokens import Tokenizer
from tests import tiny
from tests.prompts.oracle import CHATML, TAKES_DOCUMENTS

MARKED = "{{ bos_token }}" + CHATML + "{{ eos_token }}"
USER = [{"role": "user", "content": "é"}]


def folder_with(folder: Path, **settings: Any) -> Path:
    tiny.write_model_folder(folder, CHATML, tokenizer_class="PreTrainedTokenizerFast", **settings)
    (folder / "chat_template.jinja").unlink()
    return folder


def same(folder: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(str(folder)).apply_chat_template(USER, tokenize=False)
    made = ChatTemplate(folder)
    assert made.render(("user",), ["é"], generation=False) == theirs


def test_one_template_in_the_settings(tmp_path: Path) -> None:
    same(folder_with(tmp_path, chat_template=MARKED, bos_token="<|end|>", eos_token="<|user|>"))


def test_named_templates_as_a_list(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": MARKED}]
    same(folder_with(tmp_path, chat_template=named))


def test_named_templates_as_a_map(tmp_path: Path) -> None:
    named = {"rag": TAKES_DOCUMENTS, "default": MARKED}
    same(folder_with(tmp_path, chat_template=named))


def test_named_templates_in_files(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, chat_template="of the settings")
    (folder / "chat_template.jinja").write_text(MARKED + "é", encoding="utf-8")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    same(folder)


def test_a_template_for_documents_is_taken_where_there_are_some(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, chat_template={"rag": TAKES_DOCUMENTS, "default": CHATML})
    tokenizer = Tokenizer(folder)
    prompter = Prompter(tokenizer, ChatTemplate(folder, tokenizer.control))
    thread = (Turn("user", (KnownText("é"),)), Turn("documents", (Passages((("t", "d"),)),)))
    theirs = AutoTokenizer.from_pretrained(str(folder)).apply_chat_template(
        USER, documents=[{"title": "t", "text": "d", "doc_id": 1}], chat_template="rag", tokenize=False
    )
    assert tokenizer.spell(prompter.thread_symbols(thread)) == theirs  # type: ignore[arg-type]


def test_without_a_default_one_the_names_are_told(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, chat_template={"rag": CHATML, "tool_use": CHATML})
    with pytest.raises(BadModel, match="has no chat template; it has rag, tool_use, and none is named 'default'"):
        ChatTemplate(folder)


@pytest.mark.parametrize("wrong", [{"default": 3}, [{"name": "default"}]])
def test_a_template_that_is_not_a_text_is_named(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(BadModel, match="chat_template must be a text, or texts by name"):
        ChatTemplate(folder_with(tmp_path, chat_template=wrong))


def test_files_that_are_not_utf8_or_json_are_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, chat_template=CHATML)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(BadModel, match=r"chat_template\.jinja is not UTF-8"):
        ChatTemplate(folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(BadModel, match=r"tokenizer_config\.json cannot be read"):
        ChatTemplate(folder)


def test_the_locale_does_not_matter(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, bos_token="é")
    (folder / "chat_template.jinja").write_text("ü" + MARKED, encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from alora_flow.prompts.template import ChatTemplate; "
        "print(ascii(ChatTemplate(Path(sys.argv[1])).frames(('user',))[0].before))"
    )
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": ""}
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == ascii("üé<|im_start|>user\n")


ADDED = {"__type": "AddedToken", "content": "<|end|>", "lstrip": False, "rstrip": False, "special": True}


@pytest.mark.parametrize(
    ("settings", "map"),
    [
        ({"bos_token": ADDED, "eos_token": {**ADDED, "content": "<|user|>"}}, None),
        ({}, {"bos_token": {"content": "<|end|>", "lstrip": False}, "eos_token": "<|user|>"}),
        ({"bos_token": "<|user|>"}, {"bos_token": "<|end|>"}),
        (
            {
                "bos_token": "<|end|>",
                "added_tokens_decoder": {"256": {"content": "<|end|>", "special": True}},
            },
            {"bos_token": "<|user|>"},
        ),
    ],
    ids=["objects", "map", "map over settings", "settings with their tokens over map"],
)
def test_special_tokens(tmp_path: Path, settings: dict[str, Any], map: dict[str, Any] | None) -> None:
    folder = folder_with(tmp_path, chat_template=MARKED, **settings)
    if map:
        (folder / "special_tokens_map.json").write_text(json.dumps(map))
    same(folder)

"""The engine reads a tokenizer as transformers does: small files count, and texts are neither cut nor padded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from alora_runtime import Engine, Request, Run
from alora_runtime.errors import ModelError


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(base, copy)
    made = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    made["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (copy / "tokenizer.json").write_text(json.dumps(made), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<|more|>"]}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return copy


def test_tokens_that_only_the_settings_know(folder: Path) -> None:
    engine = Engine.load(folder)
    assert engine.model.tokenizer is not None
    more = engine.model.tokenizer.token_to_id("<|more|>")
    assert more == AutoTokenizer.from_pretrained(str(folder)).convert_tokens_to_ids("<|more|>")
    assert engine.model.text([65, more, 66]) == engine.model.text([65, 66])
    ticket = engine.submit(Request([Run([65, more])], max_tokens=1))
    done = [completion for _ in range(5) if engine.busy for number, completion in engine.step() if number == ticket]
    assert len(done) == 1
    assert len(engine.model.tokenizer.encode("a long text").ids) == len("a long text")


def test_a_broken_small_file_is_named(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json cannot be read"):
        Engine.load(folder)

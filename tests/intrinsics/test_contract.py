"""What an intrinsic's call appends, from where its adapter is active, and what it may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alora_flow.errors import AdapterNotFound, BadAdapter
from alora_flow.intrinsics.contract import Contract, resolve
from alora_flow.intrinsics.library import ModelFiles, find_adapter
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Choices, Intrinsic, Text
from alora_flow.language.report.source import Source
from alora_flow.prompts.tokens import Tokenizer
from tests import tiny

NOWHERE = Source("test.flow", "").span(0, 0)
LIKELIHOOD = "[{type: likelihood, input_path: [], categories_to_values: {'Y': 1.0, 'N': 0.0}}]"


def intrinsic(**fields: Any) -> Intrinsic:
    defaults: dict[str, Any] = dict.fromkeys(
        ("adapter", "invoke", "emits", "value", "activate", "from_library", "it"), None
    )
    fields = {"result": t.BOOL, "parameters": (), "settings": (), **defaults, **fields}
    return Intrinsic("safety", "safety", "", NOWHERE, **fields)


def text(constant: str) -> Text:
    return Text(t.STR, NOWHERE, (constant,))


@pytest.fixture
def model(tmp_path: Path) -> ModelFiles:
    return ModelFiles("tiny", tiny.write_model_folder(tmp_path / "tiny"))


@pytest.fixture
def tokenizer(model: ModelFiles) -> Tokenizer:
    return Tokenizer(model.folder)


@pytest.fixture
def safety(tokenizer: Tokenizer) -> int:
    token = tokenizer.control_token("<|safety|>")
    assert token is not None
    return token


def adapter_folder(model: ModelFiles, invocation: list[int] | None, **fields: Any) -> Path:
    return tiny.write_adapter_folder(model.folder / "intrinsics" / "guard" / "tiny" / "alora", invocation, **fields)


def resolved(model: ModelFiles, tokenizer: Tokenizer, **fields: Any) -> Contract:
    return resolve(intrinsic(adapter="guard", **fields), model, tokenizer, model.folder)


def test_the_adapters_configuration_names_the_invocation(model: ModelFiles, tokenizer: Tokenizer, safety: int) -> None:
    adapter_folder(model, [safety])
    contract = resolved(model, tokenizer, emits=Choices(("Y", "N")))
    assert (contract.invocation, contract.active_at) == ((safety,), 0)
    assert [outcome.it for outcome in contract.outcomes or ()] == ["Y", "N"]
    assert [outcome.tokens for outcome in contract.outcomes or ()] == [
        tokenizer.encode_control("Y"),
        tokenizer.encode_control("N"),
    ]


def test_an_invocation_that_disagrees_with_the_adapter_is_an_error(
    model: ModelFiles, tokenizer: Tokenizer, safety: int
) -> None:
    adapter_folder(model, [safety])
    resolved(model, tokenizer, invoke=text("<|safety|>"))
    with pytest.raises(BadAdapter, match=r"'<\|certainty\|>'.*activates on '<\|safety\|>'"):
        resolved(model, tokenizer, invoke=text("<|certainty|>"))


def test_text_before_the_invocation_stays_with_the_base(model: ModelFiles, tokenizer: Tokenizer, safety: int) -> None:
    adapter_folder(model, [safety])
    contract = resolved(model, tokenizer, invoke=text("ab<|safety|>"))
    assert (len(contract.invocation), contract.active_at) == (3, 2)


def test_the_old_format_is_active_from_the_second_token_on(model: ModelFiles, tokenizer: Tokenizer) -> None:
    adapter_folder(model, None, invocation_string="<|user|>safety<|end|>")
    contract = resolved(model, tokenizer)
    assert contract.invocation == tokenizer.encode_control("<|user|>safety<|end|>")
    assert contract.active_at == 1


def test_active_at_the_end_means_the_last_token_alone(model: ModelFiles, tokenizer: Tokenizer, safety: int) -> None:
    adapter_folder(model, [safety])
    assert resolved(model, tokenizer, activate="end", invoke=text("ab<|safety|>")).active_at == 2


def test_a_plain_lora_is_no_activated_adapter(model: ModelFiles, tokenizer: Tokenizer) -> None:
    adapter_folder(model, None)
    assert not resolved(model, tokenizer).adapter.activated


def test_ranges_enums_and_bools_are_choices_and_text_is_not(
    model: ModelFiles, tokenizer: Tokenizer, safety: int
) -> None:
    adapter_folder(model, [safety])
    digits = resolved(model, tokenizer, emits=t.IntType(0, 9), result=t.UNIT_FLOAT).outcomes
    assert [outcome.it for outcome in digits or ()] == list(range(10))
    assert resolved(model, tokenizer, emits=t.STR, result=t.STR).outcomes is None
    assert resolved(model, tokenizer, emits=t.IntType(0), result=t.INT).outcomes is None


def test_the_short_form_reads_io_yaml(model: ModelFiles, tokenizer: Tokenizer, safety: int) -> None:
    folder = adapter_folder(model, [safety])
    (folder / "io.yaml").write_text(f"model: ~\nresponse_format: ~\ntransformations: {LIKELIHOOD}\n")
    contract = resolve(intrinsic(from_library="guard"), model, tokenizer, model.folder)
    assert [(outcome.it, outcome.weight) for outcome in contract.outcomes or ()] == [("Y", 1.0), ("N", 0.0)]


@pytest.mark.parametrize("field", ["use_dora", "modules_to_save", "layer_replication"])
def test_an_unsupported_field_of_the_configuration_is_named(
    model: ModelFiles, tokenizer: Tokenizer, safety: int, field: str
) -> None:
    adapter_folder(model, [safety], **{field: [1]})
    with pytest.raises(BadAdapter, match=f"intrinsic 'safety'.*{field}"):
        resolved(model, tokenizer)


def test_both_published_library_layouts_are_found(model: ModelFiles) -> None:
    old = tiny.write_adapter_folder(model.folder / "intrinsics" / "old" / "lora" / "tiny", None)
    new = tiny.write_adapter_folder(model.folder.parent / "intrinsics" / "new" / "tiny" / "alora", [1])
    assert find_adapter("old", model, model.folder) == old
    assert find_adapter("new", model, model.folder) == new


def test_a_missing_adapter_is_an_error_with_a_suggestion(model: ModelFiles) -> None:
    adapter_folder(model, [1])
    with pytest.raises(AdapterNotFound, match="neither a folder nor in the intrinsics library") as caught:
        find_adapter("gaurd", model, model.folder)
    assert caught.value.help == "did you mean 'guard'?"


def test_only_the_flow_file_spells_control_tokens(model: ModelFiles, tokenizer: Tokenizer, safety: int) -> None:
    """An option of `emits enum(…)` is a literal of the flow file; a category of io.yaml is data."""
    adapter_folder(model, [safety])
    written = resolved(model, tokenizer, emits=Choices(("<|safety|>", "N"))).outcomes
    assert written is not None
    assert written[0].tokens == (safety,)
    rule = "[{type: likelihood, input_path: [], categories_to_values: {'<|safety|>': 1.0, 'N': 0.0}}]"
    folder = adapter_folder(model, [safety])
    (folder / "io.yaml").write_text(f"model: ~\nresponse_format: ~\ntransformations: {rule}\n")
    read = resolve(intrinsic(from_library="guard"), model, tokenizer, model.folder).outcomes
    assert read is not None
    assert safety not in read[0].tokens
    assert tokenizer.decode(read[0].tokens) == "<|safety|>"

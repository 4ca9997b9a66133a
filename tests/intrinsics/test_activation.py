"""From which token an adapter acts, by every way in which it can be activated, and what its call appends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import alora_flow
from alora_flow.planning.prompts import PromptedCall
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.requests import Completion
from tests.intrinsics.library import INVENTORY, flow_file, write_intrinsic, write_model


def planned(model: Path, text: str, **inputs: object) -> PromptedCall:
    """The first call of a flow, before it runs."""
    compilation = alora_flow.load(flow_file(model, text)).compilation
    return compilation.schedule(compilation.flow(None), inputs).steps[0].call


CONTRACT = 'emits enum("yes", "no") value it == "yes" }'


def configured(tmp_path: Path, name: str = "uncertainty", **fields: object) -> tuple[Path, Tokenizer]:
    """A model with one adapter whose configuration has other fields."""
    model = write_model(tmp_path / "tiny")
    path = write_intrinsic(model, name) / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return model, Tokenizer(model)


def test_a_trigger_that_the_author_wrote_into_the_last_message_activates_there(tmp_path: Path) -> None:
    model, tokenizer = configured(tmp_path)
    text = f"""
    intrinsic sure() -> bool {{ adapter "uncertainty" {CONTRACT}
    flow f(q: str) -> bool {{ return sure() on user("<certainty> {{q}} <certainty>{{q}}") }}
    """
    call = planned(model, text, q="<certainty>")
    said = "<|user|><certainty> <certainty> <certainty><certainty><|end|><|assistant|>"
    assert tokenizer.spell(call.prompt.symbols) == said  # type: ignore[arg-type]
    assert call.prompt.active_from == len(tokenizer.encode_control("<|user|><certainty> <certainty> "))
    assert alora_flow.load(flow_file(model, text)).f(q="<certainty>").trace.kept_promise


def test_a_trigger_that_only_data_spell_is_appended(tmp_path: Path) -> None:
    model, tokenizer = configured(tmp_path)
    text = f"""
    intrinsic sure() -> bool {{ adapter "uncertainty" {CONTRACT}
    flow f(q: str) -> bool {{ return sure() on user(q) }}
    """
    call = planned(model, text, q="<certainty>")
    assert tokenizer.spell(call.prompt.symbols) == "<|user|><certainty><|end|><certainty>"  # type: ignore[arg-type]
    assert call.prompt.active_from == len(tokenizer.encode_control("<|user|><certainty><|end|>"))


@pytest.mark.parametrize("both", [False, True])
def test_the_older_format_runs(tmp_path: Path, both: bool) -> None:
    """A string alone is active from its second token on; tokens beside it win."""
    fields: dict[str, object] = {"invocation_string": "<|user|>certain<|end|>", "alora_invocation_tokens": None}
    if both:
        fields["alora_invocation_tokens"] = [259]  # <|assistant|>
    model, tokenizer = configured(tmp_path, **fields)
    text = f"""
    intrinsic sure() -> bool {{ adapter "uncertainty" {CONTRACT}
    flow f(q: str) -> bool {{ let a = generate(max_tokens: 2) on user(q)  return sure() on a }}
    """
    module = alora_flow.load(flow_file(model, text))
    compilation = module.compilation
    prompt = compilation.schedule(compilation.flow(None), {"q": "a"}).steps[1].call.prompt
    tail = tokenizer.spell(prompt.added)  # type: ignore[arg-type]
    assert tail == ("<|assistant|>" if both else "<|user|>certain<|end|>")
    assert prompt.active_from == len(prompt.symbols) - len(prompt.added) + (0 if both else 1)
    assert module.f(q="a").trace.kept_promise


def test_activation_at_the_end_is_the_last_token_of_the_sequence(tmp_path: Path) -> None:
    model, _ = configured(tmp_path)
    text = f"""
    intrinsic sure() -> bool {{ adapter "uncertainty" activate end {CONTRACT}
    flow f(q: str) -> bool {{ return sure() on user(q) }}
    """
    call = planned(model, text, q="a")
    assert call.prompt.active_from == len(call.prompt.symbols) - 1


def test_documents_as_json_and_as_turns(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny")
    text = """
    intrinsic clear() -> str from "query_clarification"
    flow f(q: str) -> str { return clear() on (user(q) + documents([document("A.", title: "t"), document("B.")])) }
    """
    ends = "<|user|>q<|end|><|user|>Ask back where the question is not clear, else say CLEAR.<|end|><|assistant|>"
    forms = {
        "json": '<|user|>[{"text": "A.", "title": "t", "doc_id": "1"}, {"text": "B.", "doc_id": "2"}]<|end|>',
        "roles": "<|document 1|>A.<|end|><|document 2|>B.<|end|>",
    }
    for how, said in forms.items():
        io_yaml = INVENTORY["query_clarification"].replace("docs_as_message: string", f"docs_as_message: {how}")
        write_intrinsic(model, "query_clarification", io_yaml)
        call = planned(model, text, q="q")
        assert Tokenizer(model).spell(call.prompt.symbols) == said + ends  # type: ignore[arg-type]
        assert alora_flow.load(flow_file(model, text)).f(q="q").trace.kept_promise


def test_a_final_channel_is_read_where_the_model_writes_channels(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny", "<|channel|>", "<|message|>")
    io_yaml = INVENTORY["answerability"] + "logprobs_workaround: true\n"
    write_intrinsic(model, "answerability", io_yaml)
    text = 'intrinsic x() -> float from "answerability"\nflow f(q: str) -> float { return x() on user(q) }'
    call = planned(model, text, q="a")
    tokenizer = Tokenizer(model)
    assert tokenizer.spell(call.prompt.added) == "<|assistant|><|channel|>final<|message|>"  # type: ignore[arg-type]
    assert alora_flow.load(flow_file(model, text)).f(q="a").trace.kept_promise
    written = '<|channel|>thought<|message|>hm<|end|><|channel|>final<|message|>"answerable"'
    assert call.form.read is not None
    completion = Completion(tokenizer.encode_control(written), "not read", "length")
    assert call.form.read(completion) == 1.0


@pytest.mark.parametrize(
    "named", ["intrinsics/uncertainty", "intrinsics/uncertainty/tiny/alora", "org/lib/uncertainty"]
)
def test_an_intrinsic_is_found_in_any_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    model, _ = configured(tmp_path)
    if named.startswith("org/"):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        entry = tmp_path / "hub" / "models--org--lib"
        (entry / "refs").mkdir(parents=True)
        (entry / "refs" / "main").write_text("abc")
        (entry / "snapshots").mkdir()
        (model.parent / "intrinsics").rename(entry / "snapshots" / "abc")
    text = f'intrinsic x() -> float from "{named}"\nflow f(q: str) -> float {{ return x() on user(q) }}'
    assert 0.05 <= alora_flow.load(flow_file(model, text)).f(q="a").value <= 0.95


def test_parameters_in_invoke_fill_what_is_appended(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny")
    write_intrinsic(model, "requirement-check")
    text = """
    intrinsic meets(requirement: str) -> prob[bool] {
      adapter "requirement-check"
      invoke "<|user|><requirements>: {requirement}<|end|><|assistant|>"
      emits enum("yes", "no")
      value it == "yes"
    }
    flow f(q: str, wanted: str) -> float { return (meets(wanted) on user(q)).p(true) + (meets("b") on user(q)).p(true) }
    """
    module = alora_flow.load(flow_file(model, text))
    tokenizer = Tokenizer(model)
    for wanted in ("a", "<requirements><|safety|>"):
        schedule = module.compilation.schedule(module.compilation.flow(None), {"q": "abc", "wanted": wanted})
        prompt = schedule.steps[0].call.prompt
        assert prompt.active_from == len(tokenizer.encode_control("<|user|>abc<|end|><|user|>"))
        assert (
            tokenizer.spell(prompt.symbols) == f"<|user|>abc<|end|><|user|><requirements>: {wanted}<|end|><|assistant|>"
        )  # type: ignore[arg-type]
        result = module.f(q="abc", wanted=wanted)
        assert result.trace.kept_promise


def test_settings_of_the_flow_win_and_may_be_any_constant(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny")
    write_intrinsic(model, "query_rewrite")
    text = """
    intrinsic x() -> str from "query_rewrite" with (stop: ["a", "b"], max_tokens: 2 + 3, temperature: 0.5)
    flow f(q: str) -> str { return x() on user(q) }
    """
    form = planned(model, text, q="a").form
    assert form.most_tokens == 5
    assert {name: form.settings[name] for name in ("stop_strings", "temperature")} == {
        "stop_strings": ("a", "b"),
        "temperature": 0.5,
    }

"""Each kind of bad input: one typed error that names what is wrong, and an engine that goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from alora_runtime import Constraint, Engine, Request, Run
from alora_runtime.adapters.config import KNOWN, read_adapter_config
from alora_runtime.compute.support import refusal
from alora_runtime.errors import AdapterError, CapacityError, ConstraintError, ModelError, RequestError
from tests.runtime.checkpoints import make_adapter, make_checkpoint

GOOD = Request([Run((1, 2, 3))], max_tokens=2)

BAD_REQUESTS = {
    "no runs": (replace(GOOD, runs=()), "empty"),
    "empty runs": (replace(GOOD, runs=[Run(()), Run((), "one")]), "empty"),
    "id too large": (replace(GOOD, runs=[Run((1, 260))]), "token id 260.*0 to 259"),
    "id negative": (replace(GOOD, runs=[Run((1,)), Run((-1,))]), "run 1 has token id -1"),
    "id no integer": (replace(GOOD, runs=[Run((1.5,))]), "token id 1.5"),  # type: ignore[arg-type]
    "unknown adapter": (replace(GOOD, runs=[Run((1,), "plane")]), "unknown adapter 'plane'.*did you mean 'plain'"),
    "too long": (replace(GOOD, runs=[Run([1] * 250)], max_tokens=8), "250 tokens.*8 .*256 positions"),
    "no tokens wanted": (replace(GOOD, max_tokens=0), "max_tokens must be between 1"),
    "negative temperature": (replace(GOOD, temperature=-1.0), "temperature must be between 0"),
    "temperature not a number": (replace(GOOD, temperature=float("nan")), "temperature"),
    "top_p": (replace(GOOD, top_p=0.0), "top_p"),
    "no choices": (replace(GOOD, choices=()), "non-empty"),
    "empty choice": (replace(GOOD, choices=((1,), ())), "non-empty"),
    "equal choices": (replace(GOOD, choices=((1, 2), (1, 2))), "same token sequence"),
    "choice id": (replace(GOOD, choices=((1, 999),)), "choice 0 has token id 999"),
    "both": (replace(GOOD, choices=((1,),), constraint=Constraint.regex("a")), "either choices or"),
    "regex": (replace(GOOD, constraint=Constraint.regex("(")), "regex constraint does not compile"),
    "schema": (replace(GOOD, constraint=Constraint.json_schema("{")), "json_schema constraint does not compile"),
    "schema range": (
        replace(GOOD, constraint=Constraint.json_schema({"type": "number", "minimum": "1"})),
        "json_schema",
    ),
    "schema deep": (
        replace(GOOD, constraint=Constraint.json_schema('{"items":' * 9999 + "{}" + "}" * 9999)),
        "recursion",
    ),
    "schema items": (replace(GOOD, constraint=Constraint.json_schema({"anyOf": 3})), "json_schema"),
    "schema type": (replace(GOOD, constraint=Constraint.json_schema({"type": "objct"})), "does not compile"),
    "lark": (replace(GOOD, constraint=Constraint.lark("start: nothing")), "lark constraint does not compile"),
}


@pytest.fixture(scope="module")
def shared(make_engine: Callable[..., Engine]) -> Engine:
    """One engine for all: errors must leave nothing behind."""
    return make_engine(cache_tokens=300)


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_requests(shared: Engine, case: str) -> None:
    request, message = BAD_REQUESTS[case]
    with pytest.raises(RequestError, match=message):
        shared.generate([GOOD, request])
    assert not shared.busy
    shared.check()
    assert len(shared.generate([GOOD])[0].tokens) == 2


def test_arena_too_small(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(cache_tokens=20)
    with pytest.raises(CapacityError, match=r"needs 21 .* has 20"):
        engine.generate([Request([Run([1] * 12)], max_tokens=10)])
    assert len(engine.generate([Request([Run([1] * 12)], max_tokens=9, ignore_eos=True)])[0].tokens) == 9


def test_an_arena_of_so_many_bytes(base: Path) -> None:
    engine = Engine.load(base, cache_bytes=1 << 20)
    numbers = engine.inspect().arena.numel()
    assert numbers * 4 <= 1 << 20 < numbers * 4 + engine.model.slot_bytes
    with pytest.raises(CapacityError, match="cache_bytes must be at least"):
        Engine.load(base, cache_bytes=100)


def test_model_folders(tmp_path: Path, base: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Engine.load(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        Engine.load(tmp_path)
    shutil.copy(base / "config.json", tmp_path)
    with pytest.raises(ModelError, match="safetensors"):
        Engine.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read: it is cut short"):
        Engine.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        Engine.load(tmp_path)
    with pytest.raises(ModelError, match="dtype 'int3'"):
        Engine.load(base, dtype="int3")


def test_no_tokenizer(tmp_path: Path, base: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "copy")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Engine.load(folder)
    (folder / "tokenizer.json").unlink()
    engine = Engine.load(folder, cache_tokens=64)
    assert engine.generate([GOOD])[0].text == ""
    with pytest.raises(RequestError, match="needs a tokenizer"):
        engine.generate([replace(GOOD, constraint=Constraint.regex("a"))])


@pytest.mark.parametrize("damage", ["missing", "shape", "nan"])
def test_broken_weights(tmp_path: Path, damage: str) -> None:
    make_checkpoint(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensor = weights.pop(name)
    if damage != "missing":
        weights[name] = tensor[:-1].clone() if damage == "shape" else torch.full_like(tensor, float("nan"))
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj"):
        Engine.load(tmp_path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "mamba2"}, "model_type 'mamba2' has recurrent layers"),
        ({"model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"]}, "mamba"),
        ({"model_type": "qwen3", "layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        ({"model_type": "granitemoehybrid", "layer_types": ["attention", "mamba"]}, "token by token: mamba"),
        ({"model_type": "llama", "layer_types": ["sliding_attention"]}, "model_type 'llama' has no layers of"),
        ({"model_type": "qwen2", "layer_types": ["sliding_attention"]}, "no window is given"),
        ({"model_type": "gemma3_text", "layer_types": ["chunked_attention"]}, "chunked_attention"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "attend to later ones"),
        ({"model_type": "gemma3_text", "rope_parameters": {"full_attention": {"rope_type": "dynamic"}}}, "dynamic"),
        ({"model_type": "recurrent_gemma"}, "model_type 'recurrent_gemma' has recurrent layers"),
        ({"model_type": "granitemoehybrid"}, "model_type 'granitemoehybrid' is not supported"),  # some have none
        ({"model_type": "llama", "head_dim": 7}, "of each head 7 numbers are turned by its rope"),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "su"}}, "rope_type is 'su'"),  # which was Phi-3's own
        (
            {
                "model_type": "phi3",
                "hidden_size": 32,
                "num_attention_heads": 4,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0] * 3},
            },
            "has 3 numbers in long_factor, and 4 pairs to turn",
        ),
        ({"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "proportional"}}, "rope_type is 'proportional'"),
        ({"model_type": "llama", "quantization_config": {"bits": 4}}, "quantized"),
        ({"model_type": "qwen2", "sliding_window": 64}, None),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64}, None),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "mistral", "max_position_embeddings": 32768}, None),
        ({"model_type": "gpt_oss", "layer_types": ["sliding_attention", "full_attention"]}, None),
        ({"model_type": "llama"}, None),
    ],
)
def test_what_cannot_share_kv_is_refused(config: dict[str, object], reason: str | None) -> None:
    answer = refusal(config)
    assert answer is None if reason is None else reason in str(answer)


def test_adapter_for_another_base(engine: Engine, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", "qwen3")
    adapter = make_adapter(tmp_path / "adapter", other)
    with pytest.raises(AdapterError, match=r"'alien' is for another base.*k_proj.* is \[32, 4\].* needs \[16, 4\]"):
        engine.add_adapter("alien", adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {key.replace("layers.0.", "layers.7."): value for key, value in weights.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match=r"no adaptable module 'model\.layers\.7\.self_attn\.k_proj'"):
        engine.add_adapter("alien", adapter)
    assert "alien" not in engine.adapters


def test_incomplete_adapters(engine: Engine, adapters: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="does not exist"):
        engine.add_adapter("new", tmp_path / "nothing")
    with pytest.raises(AdapterError, match=r"adapter_config\.json is missing"):
        engine.add_adapter("new", tmp_path)
    folder = shutil.copytree(adapters["one"], tmp_path / "copy")
    weights = load_file(folder / "adapter_model.safetensors")
    less = {key: value for key, value in weights.items() if "layers.2.self_attn.v_proj" not in key}
    save_file(less, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match=r"no weights for 'model\.layers\.2\.self_attn\.v_proj'"):
        engine.add_adapter("new", folder)
    save_file({key: value * float("inf") for key, value in weights.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="not finite"):
        engine.add_adapter("new", folder)
    (folder / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(AdapterError, match="cannot be read"):
        engine.add_adapter("new", folder)


OTHERS = sorted({field.name for field in fields(LoraConfig)} - KNOWN)
UNSUPPORTED = dict.fromkeys(OTHERS, True) | {
    "a_field_of_tomorrow": {"x": 1},
    "bias": "all",
    "peft_type": "IA3",
    "init_lora_weights": "pissa_niter_4",
    "modules_to_save": ["lm_head"],
    "r": 0,
    "lora_alpha": "much",
}


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_every_unsupported_field_is_named(adapters: dict[str, Path], tmp_path: Path, field: str) -> None:
    folder = shutil.copytree(adapters["one"], tmp_path / "copy")
    raw = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(raw | {field: UNSUPPORTED[field]}))
    with pytest.raises(AdapterError, match="rank" if field == "r" else "much" if field == "lora_alpha" else field):
        read_adapter_config(folder)


def test_dead_end_fails_alone(engine: Engine) -> None:
    dead = replace(GOOD, constraint=DeadEnd())  # type: ignore[arg-type]
    tickets = [engine.submit(GOOD), engine.submit(dead)]
    results = {}
    while engine.busy:
        results |= engine.step()
        engine.check()
    assert results[tickets[0]].finish in ("length", "stop")
    assert results[tickets[1]].finish == "error"
    with pytest.raises(ConstraintError, match="no token"):
        engine.generate([GOOD, dead])


class DeadEnd:
    """A constraint of one's own, under which nothing may ever come."""

    accepting = done = False

    def matcher(self, vocabulary: object) -> DeadEnd:
        return self

    def forced(self) -> list[int]:
        return []

    def mask(self) -> bytes:
        raise ConstraintError("no token can continue the answer")

    def accept(self, token: int) -> None:
        raise AssertionError

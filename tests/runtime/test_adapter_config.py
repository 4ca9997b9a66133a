"""Adapter folders are read as PEFT 0.21 reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import EvaConfig, LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from peft.tuners.tuners_utils import check_target_module_exists
from transformers import AutoModelForCausalLM

from alora_runtime import Engine, Request, Run
from alora_runtime.adapters.config import read_adapter_config
from alora_runtime.errors import AdapterError
from tests.runtime.checkpoints import make_adapter

MODULES = [
    f"model.layers.{layer}.{block}.{name}_proj"
    for layer in (0, 1, 11)
    for block, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down")))
    for name in names
]

TARGETS = [
    {"target_modules": ["q_proj", "self_attn.v_proj"]},
    {"target_modules": r"model\.layers\.1\d*\..*(q|up)_proj"},
    {"target_modules": ["model.layers.1.mlp.up_proj", "k_proj"], "exclude_modules": ["layers.0.self_attn.k_proj"]},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\.0\..*v_proj"},
    {"target_modules": ["q_proj"], "layers_to_transform": [1, 11]},
    {"target_modules": ["q_proj"], "layers_to_transform": 0},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["blocks"]},
]


def change(folder: Path, copy: Path, **fields: object) -> Path:
    """A copy of an adapter folder with other fields in its config."""
    shutil.copytree(folder, copy)
    raw = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(raw | fields))
    return copy


@pytest.mark.parametrize("fields", TARGETS, ids=str)
def test_targets(adapters: dict[str, Path], tmp_path: Path, fields: dict[str, object]) -> None:
    config = read_adapter_config(change(adapters["one"], tmp_path / "copy", **fields))
    for module in MODULES:
        expected = bool(check_target_module_exists(LoraConfig(**fields), module))  # type: ignore[arg-type]
        assert config.targets_module(module) == expected, module


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": r".*\.[02]\..*(q|down)_proj", "lora_alpha": 3},
        {"target_modules": ["v_proj", "up_proj"], "layers_to_transform": [1, 2], "use_rslora": True},
        {
            "target_modules": "all-linear",
            "exclude_modules": ["o_proj"],
            "rank_pattern": {r"layers\.1\.self_attn\.q_proj": 5, "v_proj": 1},
            "alpha_pattern": {"0.mlp.up_proj": 9, "up_proj": 2},
        },
    ],
    ids=["regex", "layers", "patterns"],
)
def test_weights_and_scales(base: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    adapter = make_adapter(tmp_path / "adapter", base, 9, **settings)
    tokens = tuple(range(30))
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    with torch.inference_mode():
        expected = peft(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1, :260].log_softmax(-1)
    engine = Engine.load(base, {"it": adapter}, cache_tokens=64)
    row = engine.generate([Request([Run(tokens, "it")], max_tokens=1, logprobs=260)])[0].logprobs[0]
    assert (torch.tensor([row[token] for token in range(260)]) - expected).abs().max() < 1e-4


def test_fan_in_fan_out_means_nothing_to_a_linear(base: Path, tmp_path: Path) -> None:
    """PEFT says so, and goes on."""
    adapter = change(make_adapter(tmp_path / "made", base, 9), tmp_path / "adapter", fan_in_fan_out=True)
    tokens = tuple(range(30))
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    with torch.inference_mode():
        expected = peft(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1, :260].log_softmax(-1)
    engine = Engine.load(base, {"it": adapter}, cache_tokens=64)
    row = engine.generate([Request([Run(tokens, "it")], max_tokens=1, logprobs=260)])[0].logprobs[0]
    assert (torch.tensor([row[token] for token in range(260)]) - expected).abs().max() < 1e-4


def test_an_adapter_that_changes_the_base_says_how_it_is_saved(adapters: dict[str, Path], tmp_path: Path) -> None:
    changed = change(adapters["one"], tmp_path / "copy", init_lora_weights="pissa_niter_4")
    with pytest.raises(AdapterError, match="path_initial_model_for_weight_conversion"):
        read_adapter_config(changed)


def test_the_digest_is_of_the_content(adapters: dict[str, Path], tmp_path: Path) -> None:
    config = read_adapter_config(adapters["one"])
    assert read_adapter_config(shutil.copytree(adapters["one"], tmp_path / "same")).digest == config.digest
    assert read_adapter_config(change(adapters["one"], tmp_path / "other", lora_alpha=1)).digest != config.digest
    assert read_adapter_config(adapters["plain"]).activated is False
    assert config.invocation_tokens == (257, 40, 258)


def test_tokens_win_over_the_old_string(adapters: dict[str, Path], tmp_path: Path) -> None:
    config = read_adapter_config(change(adapters["one"], tmp_path / "both", invocation_string="<|call|>x<|go|>"))
    assert (config.invocation_tokens, config.invocation_string) == ((257, 40, 258), None)


@pytest.mark.parametrize("adjusts", [True, False])
def test_weights_that_began_with_eva_are_plain_ones(base: Path, tmp_path: Path, adjusts: bool) -> None:
    """EVA sets where training begins, ranks and scales of its own included, and these are saved as patterns."""
    eva = EvaConfig(rho=2.0, use_label_mask=False, adjust_scaling_factors=adjusts)
    settings = LoraConfig(
        task_type="CAUSAL_LM", r=3, lora_alpha=6, target_modules="all-linear", init_lora_weights="eva", eva_config=eva
    )
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 256, (4, 24), generator=generator)
    batches = [{"input_ids": row[None], "attention_mask": torch.ones_like(row[None])} for row in tokens]
    initialize_lora_eva_weights(peft, batches, show_progress_bar=False)  # type: ignore[arg-type]
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    peft.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (raw["init_lora_weights"], bool(raw["eva_config"]), bool(raw["rank_pattern"])) == ("eva", True, True)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path).eval()
    with torch.inference_mode():
        expected = loaded(input_ids=tokens[:1], use_cache=False).logits[0, -1, :260].log_softmax(-1)
    engine = Engine.load(base, {"it": tmp_path}, cache_tokens=64)
    row = engine.generate([Request([Run(tokens[0].tolist(), "it")], max_tokens=1, logprobs=260)])[0].logprobs[0]
    assert (torch.tensor([row[token] for token in range(260)]) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["q_proj", "lm_head"], "target_modules has 'lm_head', which is the model's output layer"),
        (["model.embed_tokens"], "target_modules has 'embed_tokens', which is the model's input embeddings"),
        (r".*(lm_head|q_proj)", "has 'lm_head', which is the model's output layer"),
    ],
)
def test_a_target_outside_the_layers_is_named(
    adapters: dict[str, Path], tmp_path: Path, targets: object, said: str
) -> None:
    with pytest.raises(AdapterError, match=said):
        read_adapter_config(change(adapters["one"], tmp_path / "copy", target_modules=targets))


def test_all_linear_leaves_the_output_layer_out(adapters: dict[str, Path], tmp_path: Path) -> None:
    read_adapter_config(change(adapters["one"], tmp_path / "copy", target_modules="all-linear"))

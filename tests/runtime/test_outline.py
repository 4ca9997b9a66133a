"""The outline is the model that transformers would make, made without transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from alora_flow.mini import WEIGHTS
from alora_runtime.compute.decoder import linears
from alora_runtime.compute.outline import Outline, Rope, outline_config
from alora_runtime.compute.traits import traits_of
from tests.runtime.checkpoints import ARCHITECTURES, make_checkpoint

KNOWN = ["llama", "llama3-rope", "granite", "qwen2", "qwen3", "mistral", "mistral-window"]
LINEAR = {"rope_parameters": {"rope_type": "linear", "rope_theta": 3e4, "factor": 4.0}}


def raw(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(
    "changes", [{}, {"attention_bias": True, "mlp_bias": True}, {"head_dim": 20}, {"head_dim": 64}, LINEAR], ids=str
)
def test_it_is_the_model_of_transformers(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    content = {**raw(make_checkpoint(tmp_path, name)), **changes}
    cls = ARCHITECTURES[name][0]
    theirs = cls(cls.config_class.from_dict(content))
    config = outline_config(content)
    assert config is not None
    ours = Outline(config)
    shapes = [{key: tensor.shape for key, tensor in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert [key for key, _ in linears(ours)] == [key for key, _ in linears(theirs)]
    assert torch.equal(ours.model.rotary_emb.inv_freq, theirs.model.rotary_emb.inv_freq)
    assert ours.model.rotary_emb.attention_scaling == theirs.model.rotary_emb.attention_scaling
    mine, other = ours.model.layers[0], theirs.model.layers[0]
    assert mine.self_attn.scaling == other.self_attn.scaling
    assert mine.input_layernorm.variance_epsilon == other.input_layernorm.variance_epsilon
    assert type(mine.mlp.act_fn).__name__.startswith("Si")
    for field in ("embedding_multiplier", "residual_multiplier", "logits_scaling"):
        assert getattr(config, field) == getattr(theirs.config, field, 1.0)
    assert [traits_of(model) for model in (ours, theirs)] == [traits_of(theirs)] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"rms_norm_eps": None},
        {"tie_word_embeddings": None},
        {"model_type": "other"},
        {"num_attention_heads": 5, "head_dim": None},
        {"partial_rotary_factor": 0.5},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0, "beta_fast": 2.0}},
        {"model_type": "mistral"},
        {"use_sliding_window": True},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}},
        {"rope_parameters": {"type": "yarn", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "default"}},
        {"rope_parameters": None},
    ],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_transformers(changes: dict[str, Any]) -> None:
    mini = raw(WEIGHTS / "base")
    assert outline_config(mini) is not None
    assert outline_config({**mini, **changes}) is None


def test_the_older_place_of_theta(tmp_path: Path) -> None:
    content = {**raw(WEIGHTS / "base"), "rope_parameters": None, "rope_scaling": None, "rope_theta": 5e5}
    config = outline_config(content)
    assert config is not None
    assert config.rope == Rope(5e5, "default", ())


@pytest.mark.parametrize("name", ["type", "rope_type"])
def test_the_older_place_of_a_scaled_rope(name: str) -> None:
    content = {**raw(WEIGHTS / "base"), "rope_parameters": None, "rope_theta": 5e5}
    config = outline_config({**content, "rope_scaling": {name: "linear", "factor": 2.0}})
    assert config is not None
    assert config.rope == Rope(5e5, "linear", (2.0,))
    theirs = LlamaConfig.from_dict({**content, "rope_parameters": {name: "linear", "factor": 2.0}}).rope_parameters
    assert (theirs["rope_theta"], theirs["rope_type"], theirs["factor"]) == (5e5, "linear", 2.0)


@pytest.mark.parametrize("name", ["llama3-rope", "mistral-window"])
def test_windows_and_scaled_ropes_need_no_transformers(tmp_path: Path, name: str) -> None:
    base = make_checkpoint(tmp_path, name)
    code = f"import sys, alora_runtime as a; a.Engine.load({str(base)!r}); print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_bundled_model_needs_no_transformers() -> None:
    code = (
        "import sys; from alora_runtime import Engine, Request, Run; from alora_flow.mini import WEIGHTS\n"
        "answer = Engine.load(WEIGHTS / 'base', cache_tokens=64).generate([Request([Run((5, 6, 7))], max_tokens=2)])\n"
        "print(bool(answer), *(name in sys.modules for name in ('torch', 'transformers', 'torch._dynamo', 'sympy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False", "False", "False"]

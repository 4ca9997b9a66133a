"""The outline is the model that transformers would make, made without transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from alora_flow.mini import WEIGHTS
from alora_runtime.compute.decoder import linears
from alora_runtime.compute.outline import FURTHER, Outline, outline_config
from tests.runtime.checkpoints import ARCHITECTURES, make_checkpoint

KNOWN = [name for name in ARCHITECTURES if name in FURTHER]


def raw(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("changes", [{}, {"attention_bias": True, "mlp_bias": True}, {"head_dim": 20}], ids=str)
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
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
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
    assert config.rope_theta == 5e5


def test_the_bundled_model_needs_no_transformers() -> None:
    code = (
        "import sys; from alora_runtime import Engine, Request, Run; from alora_flow.mini import WEIGHTS\n"
        "answer = Engine.load(WEIGHTS / 'base', cache_tokens=64).generate([Request([Run((5, 6, 7))], max_tokens=2)])\n"
        "print(bool(answer), *(name in sys.modules for name in ('torch', 'transformers', 'torch._dynamo', 'sympy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False", "False", "False"]

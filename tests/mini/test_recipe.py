"""The recipe's adapters are learnt by the code that trains any base's intrinsics, on samples of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from alora_flow.mini import WEIGHTS
from alora_flow.mini.recipe.encoding import samples
from alora_flow.mini.recipe.folders import adapter_folder, load_adapter, load_base
from alora_flow.mini.recipe.measuring import judge, own_answers
from alora_flow.mini.recipe.recipe import train_adapter
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.tasks import cases_of


def test_an_adapter_learns_from_few_cases_and_is_written_as_others_are(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS / "base", tmp_path / "base")
    name = "safety"
    facts = train_adapter(tmp_path, name, 3, count=384)
    assert facts["steps"] == 60
    network, encoder = load_base(tmp_path / "base"), Encoder.load(tmp_path / "base")
    cases = samples(encoder, name, cases_of(name, "test", 96, 5, own_answers(network, encoder)))
    right, _ = judge(network, cases, load_adapter(network.shape, name, tmp_path))
    without, _ = judge(network, cases, None)
    assert sum(without) < 0.7 * len(cases) < sum(right)
    assert {path.name for path in adapter_folder(tmp_path, name).iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "io.yaml",
    }

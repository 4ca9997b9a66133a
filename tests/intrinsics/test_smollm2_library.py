"""The intrinsics that are shipped for SmolLM2: whole, small, and with cards that say what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alora_flow.intrinsics.io_yaml import read_io_yaml
from alora_flow.intrinsics.library import SHIPPED
from alora_flow.training.spec import read_spec
from alora_flow.views.intrinsic_card import intrinsic_card
from alora_runtime.adapters.config import read_adapter_config

ROOT = Path(__file__).parent.parent.parent
LIBRARY = SHIPPED["smollm2"]
SPEC = read_spec(ROOT / "recipes/smollm2/library.toml")
NAMES = sorted(path.name for path in LIBRARY.iterdir())

MOST_BYTES = 30_000_000


def folder(name: str) -> Path:
    return LIBRARY / name / "smollm2" / "alora"


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in LIBRARY.rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_is_what_its_recipe_says(name: str) -> None:
    spec, config = SPEC.one(name), read_adapter_config(folder(name))
    assert config.activated
    weights = load_file(folder(name) / "adapter_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert {key.split(".")[-3] for key in weights} == set(spec.targets)
    assert {min(value.shape) for value in weights.values()} == {spec.rank}
    assert dict(read_io_yaml(folder(name)).categories or {}) == spec.answers


@pytest.mark.parametrize("name", NAMES)
def test_its_card_is_made_of_what_was_measured(name: str) -> None:
    trained = json.loads((folder(name) / "training.json").read_text())
    measured = json.loads((folder(name) / "evaluation.json").read_text())
    card = intrinsic_card(trained, measured)
    assert (folder(name) / "CARD.md").read_text() == card
    if beginning := SPEC.one(name).start:
        assert f"It began with the weights of `{beginning}` (" in card
    assert measured["split"] == "test"
    assert trained["spec"] == SPEC.one(name).model_dump(mode="json", exclude_defaults=True)
    assert trained["rows"]["test"] == next(iter(measured["systems"].values()))["rows"]
    own = next(iter(measured["systems"].values()))["figures"]
    if SPEC.one(name).answers:
        assert own["error"]["value"] < measured["systems"]["majority"]["figures"]["error"]["value"]


def test_the_readme_shows_what_was_measured() -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in shown.splitlines() if line.startswith("| ")]

    def figures(name: str, part: str | None = None) -> dict[str, str]:
        own = next(iter(json.loads((folder(name) / "evaluation.json").read_text())["systems"].values()))
        found = own if part is None else own["parts"][part]
        values = {key: figure["value"] for key, figure in found["figures"].items()}
        written = {key: f"{value:.1%}".replace("%", " %") for key, value in values.items() if key == "error"}
        return {"rows": str(found["rows"]), **{key: f"{value:.3f}" for key, value in values.items()}, **written}

    for name, part, keys in (
        ("safety", "safety/test.jsonl", ("rows", "error", "auroc")),
        ("safety", "safety/xstest.jsonl", ("rows", "error", "auroc")),
        ("answerability", None, ("rows", "error", "auroc")),
        ("hallucination", "hallucination/test.jsonl", ("rows", "error", "auroc")),
        ("hallucination", "hallucination_sentences/test.jsonl", ("rows", "error", "auroc")),
        ("uncertainty", None, ("rows", "brier", "brier_of_constant", "auroc")),
        ("query_rewrite", None, ("rows", "error")),
        ("query_rewrite", "names what was named before", ("rows",)),
    ):
        wanted = [figures(name, part)[key] for key in keys]
        title = name.replace("query_rewrite", "query rewriting")
        assert any(line.startswith(f"| {title} ") and all(map(line.__contains__, wanted)) for line in lines), wanted

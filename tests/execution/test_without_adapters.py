"""Flow files on a model that has none of their adapters: what needs none runs, the rest says what it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from alora_flow.intrinsics.library import BUNDLED
from tests.command import warm

FLOWS = Path(__file__).parent.parent.parent / "flows"


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """The bundled model without its intrinsics."""
    return str(shutil.copytree(BUNDLED["mini"], tmp_path / "bare"))


@pytest.mark.parametrize("name", ["extraction", "tool_use"])
def test_flows_without_intrinsics_run(bare: str, name: str) -> None:
    done = warm("run", str(FLOWS / f"{name}.flow"), "--model", bare)
    assert done.code == 0, done.stderr


def test_a_flow_without_intrinsics_runs_beside_others_that_have_some(bare: str) -> None:
    done = warm("run", str(FLOWS / "subflows.flow"), "halvings", "--input", "n=20", "--model", bare)
    assert (done.code, done.stdout) == (0, "5\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "intrinsic"),
    [
        ("best_of", "certainty"),
        ("checks", "hallucination"),
        ("conversation", "rewrite"),
        ("fan_out", "answerability"),
        ("repair", "hallucination"),
        ("routing", "safety"),
        ("safety_rag", "safety"),
        ("speculation", "safety"),
        ("subflows", "safety"),
    ],
)
def test_the_others_name_the_intrinsic_that_has_no_adapter(bare: str, name: str, intrinsic: str) -> None:
    for command in ("plan", "run") if name != "checks" else ("plan",):  # its flow has no defaults
        done = warm(command, str(FLOWS / f"{name}.flow"), "--model", bare)
        assert done.code == 1
        assert f"error: intrinsic '{intrinsic}': adapter '" in done.stderr
        assert "in the intrinsics library of model 'bare', which has none" in done.stderr
        assert "help: an adapter fits one base: mini has this one" in done.stderr

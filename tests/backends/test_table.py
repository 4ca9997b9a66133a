"""Backends by name: the project's own, and one of a user's in a file of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import alora_flow
from alora_flow.backends.base import Abilities
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.errors import BadInput, BadUsage
from alora_flow.planning.setup import Setup
from alora_flow.views.result import result_json
from tests.command import warm

SERVER = "tests.backends.text_server:open_server"
FLOW = """
model base = "mini"
enum Mood { calm, angry }
flow main(q: str = "why?") -> str {
  let r = generate(max_tokens: 30) on (system("Be brief.") + user(q))
  let mood = generate() as Mood on r
  return "{mood} {r.text}"
}
flow weighed(q: str = "why?") -> float { let mood = generate() as prob[Mood] on user(q)  return mood.p(calm) }
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
flow checked(q: str = "why?") -> bool { return safety() on user(q) }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "main.flow").write_text(FLOW)
    return tmp_path / "main.flow"


def test_a_server_that_takes_text(file: Path) -> None:
    """Its thread is text, its choices are written, and nothing of it is called kept."""
    flow = alora_flow.load(file, backend=SERVER).flows["main"]
    result = flow()
    assert result.value == "angry SYSTEM:BE BRIEF. USER:WHY?"
    assert result.trace.kept_promise is None
    assert [call.predicted for call in result.trace.calls] == [None, None]
    assert result_json(flow.declaration, result)["nodes"][0]["predicted"] is None


def test_what_a_backend_cannot_do_is_said_before_anything_runs(file: Path) -> None:
    module = alora_flow.load(file, backend=SERVER)
    with pytest.raises(BadInput, match="line 11: intrinsic 'safety' needs an adapter, and this backend runs none"):
        module.checked()
    with pytest.raises(BadInput, match="line 9: 'mood' needs the probabilities of its choices"):
        module.weighed()


LONG = """
model base = "mini"
flow main(q: str, deep: bool) -> str {
  let first = generate(max_tokens: 5) on user("Hello")
  let second = generate(max_tokens: 5) on user(q)
  if deep and first.text == "Hello" { return (generate(max_tokens: 5) on (second + user(q))).text }
  return first.text
}
"""


def test_what_is_too_long_is_said_before_anything_is_paid_for(tmp_path: Path) -> None:
    (tmp_path / "main.flow").write_text(LONG)

    def opened(setup: Setup) -> Echo:
        echo = open_echo(setup)
        echo.abilities = Abilities(positions=120)
        return echo

    module = alora_flow.load(tmp_path / "main.flow", backend=opened)
    with pytest.raises(BadInput, match=r"line 5: 'second' has a prompt of 403 tokens at least .* 120 positions"):
        module.main(q="why " * 100, deep=False)
    assert not module.backend._tickets
    assert module.main(q="why " * 28, deep=True).value  # what only may come is not refused


EACH = """
model base = "mini"
flow main(texts: list[str], more: bool = true) -> list[str] {
  return for t in texts limit 4 {
    let first = generate(max_tokens: 5) on user(t)
    let second = if more { (generate(max_tokens: 5) on (first.thread + user(t))).text } else { "" }
    keep second
  }
}
flow handled(q: str) -> str {
  let tried = (generate(max_tokens: 5) on user(q)).text else { accept "too long" }
  return tried
}
"""


def test_so_is_what_is_behind_conditions_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "main.flow").write_text(EACH)
    with alora_flow.load(tmp_path / "main.flow", cache_tokens=3000, share=False) as module:
        long = "the mayor " * 600
        with pytest.raises(BadInput, match=r"line 5: 'for\[2\].first' has a prompt of .* 1024 positions"):
            module.main(texts=["a", "b", long])
        with pytest.raises(BadInput, match=r"line 6: 'for\[1\].reply' has a prompt of .* 1024 positions"):
            module.main(texts=["a", "the mayor " * 300])
        assert not module.backend.engine.stats.steps
        assert module.main(texts=["a", "the mayor " * 300], more=False).value
        assert module.handled(q=long).value == "too long"


def test_a_length_that_the_run_decides_is_not_taken_for_its_upper_end(tmp_path: Path) -> None:
    (tmp_path / "main.flow").write_text(
        'model base = "mini"\ntool count(q: str) -> int[1..5000] = python "counting:count"\n'
        "flow main(n: int[1..5000] = 4) -> str {\n"
        '  let first = generate(max_tokens: n) on user("Hello")\n  let found = count(first.text)\n'
        '  return (generate(max_tokens: found) on user("Why?")).text\n}\n'
    )
    (tmp_path / "counting.py").write_text("def count(q: str) -> int:\n    return 3\n")
    module = alora_flow.load(tmp_path / "main.flow")
    assert module.main().trace.kept_promise
    with pytest.raises(BadInput, match="line 4: 'first' has a prompt of 4 tokens at least and an answer of up to 5000"):
        module.main(n=5000)


@pytest.mark.parametrize("backend", ["echo", "alora_flow.backends.echo:open_echo", open_echo])
def test_by_name_by_function_and_by_reference(file: Path, backend: object) -> None:
    assert alora_flow.load(file, backend=backend).main().trace.kept_promise  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("toch", BadUsage, "there is no backend 'toch'"),
        ("nowhere.module:open", BadInput, "cannot import 'nowhere.module'"),
        ("tests.backends.text_server:missing", BadInput, "has no function 'missing'"),
        ("tests.backends.text_server:NOT_A_FUNCTION", BadInput, "has no function 'NOT_A_FUNCTION'"),
    ],
)
def test_a_wrong_name_is_told_at_once(file: Path, name: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        alora_flow.load(file, backend=name)


def test_what_a_factory_gives_must_be_a_backend(file: Path) -> None:
    module = alora_flow.load(file, backend="tests.backends.text_server:open_nothing")
    with pytest.raises(BadInput, match="gave a str, which has no abilities, cache_tokens, submit"):
        module.main()


def test_from_the_command_line(file: Path) -> None:
    shown = warm("run", str(file), "main", "--backend", SERVER)
    assert (shown.code, shown.stdout) == (0, "angry SYSTEM:BE BRIEF. USER:WHY?\n")
    assert "kept" not in shown.stderr
    assert "?" in shown.stderr
    echoed = json.loads(warm("run", str(file), "main", "--echo", "--json").stdout)
    assert echoed["nodes"][0]["predicted"] == echoed["nodes"][0]["actual"]
    assert warm("run", str(file), "main", "--backend", "toch").code == 2
    assert "did you mean 'torch'?" in warm("run", str(file), "main", "--backend", "toch").stderr
    assert warm("run", str(file), "checked", "--backend", SERVER).code == 1

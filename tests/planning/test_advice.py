"""Warnings that need a model's tokenizer and chat template."""

from __future__ import annotations

import shutil
from pathlib import Path

import alora_flow
from alora_flow.intrinsics.library import BUNDLED
from alora_flow.planning.advice import advise
from alora_flow.planning.compilation import Compilation
from tests import tiny

FLOW = """
model base = "model"
intrinsic check() -> bool { adapter "adapter" invoke ">c" emits bool }
flow main(q: str) -> bool { return check() on user(q) }
"""

TALK = """
model base = "model"
flow main(q: str) -> str {
  let first = generate(max_tokens: 12) on user(q)
  let second = generate(max_tokens: 12) on (first.thread + user(q))
  return second.text
}
"""


def compilation(folder: Path, template: str, *merges: tuple[str, str]) -> Compilation:
    tiny.write_model_folder(folder / "model", template, merges)
    ids = tiny.tokenizer(*merges).encode(">c", add_special_tokens=False).ids
    tiny.write_adapter_folder(folder / "adapter", ids)
    (folder / "case.flow").write_text(FLOW)
    return Compilation(folder / "case.flow")


PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '</>' }}{% endfor %}"


def test_an_invocation_that_merges_with_the_end_of_the_turn_is_warned_of(tmp_path: Path) -> None:
    made = compilation(tmp_path, PLAIN, (">", ">"))
    (warning,) = advise(made.schedule(made.flow(None), {}))
    assert (warning.code, warning.severity, warning.span.line) == ("W0901", "warning", 4)
    assert "'check' is invoked by the tokens" in warning.message
    assert "behind '</>'" in warning.message


def test_one_that_stays_as_it_is_is_not(tmp_path: Path) -> None:
    made = compilation(tmp_path, PLAIN)
    assert advise(made.schedule(made.flow(None), {})) == ()


def test_a_template_that_rewrites_earlier_turns_is_warned_of_where_it_first_costs(tmp_path: Path) -> None:
    made = compilation(tmp_path, tiny.THINKS_LAST)
    assert advise(made.schedule(made.flow(None), {})) == ()
    (tmp_path / "case.flow").write_text(FLOW.replace("user(q)", "(user(q) + assistant(q) + user(q))"))
    made = Compilation(tmp_path / "case.flow")
    (warning,) = advise(made.schedule(made.flow(None), {}))
    assert (warning.code, warning.severity, warning.span.line) == ("W0902", "warning", 4)
    assert warning.message == "the chat template of model rewrites earlier turns when user follows user, assistant"


def test_a_flow_on_such_a_template_keeps_its_promise(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED["mini"], tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(tiny.THINKS_LAST)
    (tmp_path / "case.flow").write_text(TALK)
    trace = alora_flow.load(tmp_path / "case.flow").main(q="Who is the mayor of Tarnok?").trace
    assert trace.kept_promise
    first, second = trace.calls
    assert first.actual is not None
    assert second.actual is not None
    assert second.actual.reused == first.actual.prefilled + first.generated - 1

"""Warnings that need a model's tokenizer and chat template."""

from __future__ import annotations

import re
import shutil
from itertools import permutations
from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import BadInput
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


RAG = """
model base = "model"
flow main(q: str) -> str { return (generate(max_tokens: 12) on (documents([document("d")]) + user(q))).text }
"""
CUTS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content.split('</think>')[-1]) + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


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


def test_the_warning_says_what_is_computed_again(tmp_path: Path) -> None:
    tiny.write_model_folder(tmp_path / "model", tiny.TEMPLATE.replace("'<|assistant|>'", "'<|assistant|>!'"))
    (tmp_path / "case.flow").write_text(TALK)
    made = Compilation(tmp_path / "case.flow")
    (warning,) = advise(made.schedule(made.flow(None), {}))
    assert warning.message == "the chat template of model opens an answer in another way than it keeps it"
    assert warning.help == "nothing goes wrong; what it rewrites is computed again: 1 + |first| tokens of this flow"


TWO = """
model base = "model"
flow talk(q: str) -> str {
  let first = generate(max_tokens: 12) on user(q)
  return (generate(max_tokens: 12) on (first.thread + user(q))).text
}
flow rag(q: str) -> str { return (generate(max_tokens: 12) on (documents([document("d")]) + user(q))).text }
flow ask(q: str) -> str { return (generate(max_tokens: 12) on user(q)).text }
"""


@pytest.mark.parametrize("order", list(permutations(["talk", "rag", "ask"])))
def test_what_a_flow_is_warned_of_does_not_depend_on_the_flows_before(tmp_path: Path, order: tuple[str, ...]) -> None:
    tiny.write_model_folder(
        tmp_path / "model", CUTS.replace("'<|' + m.role + '|>'", "m.role + '|>'").replace("<|assistant", "assistant")
    )
    (tmp_path / "case.flow").write_text(TWO)
    made = Compilation(tmp_path / "case.flow")
    codes = {name: [one.code for one in advise(made.schedule(made.flow(name), {}))] for name in order}
    assert codes == {"talk": ["W0902"], "rag": ["W0903"], "ask": []}


def test_thoughts_that_are_cut_are_warned_of(tmp_path: Path) -> None:
    tiny.write_model_folder(tmp_path / "model", CUTS)
    (tmp_path / "case.flow").write_text(TALK)
    made = Compilation(tmp_path / "case.flow")
    (warning,) = advise(made.schedule(made.flow(None), {}))
    assert warning.message == "the chat template of model cuts the thoughts of earlier answers"


def test_turns_that_a_template_has_no_form_for_are_warned_of(tmp_path: Path) -> None:
    template = tiny.TEMPLATE.replace("'<|' + m['role'] + '|>'", "m['role'] + ': '").replace(
        "<|assistant|>", "assistant: "
    )
    tiny.write_model_folder(tmp_path / "model", template)
    (tmp_path / "case.flow").write_text(RAG)
    made = Compilation(tmp_path / "case.flow")
    (warning,) = advise(made.schedule(made.flow(None), {}))
    assert warning.code == "W0903"
    assert warning.message == "the chat template of model has no form for documents: a user's turn says them"


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


LONG = """
model base = "mini"
flow main(q: str) -> str {
  let first = generate(max_tokens: 1000) on user(q)
  let second = generate(max_tokens: 10) on user(q)
  return if len(second.text) > 2 { (generate(max_tokens: 1100) on user(q)).text } else { first.text }
}
"""


def test_a_call_that_is_certainly_too_long_is_warned_of_as_a_run_refuses_it(tmp_path: Path) -> None:
    """One behind a condition may never come."""
    (tmp_path / "long.flow").write_text(LONG)
    made = Compilation(tmp_path / "long.flow")
    assert advise(made.schedule(made.flow(None), {"q": "short"})) == ()
    words = "the mayor " * 20
    (warning,) = advise(made.schedule(made.flow(None), {"q": words}))
    assert (warning.code, warning.severity, warning.span.line) == ("W0905", "warning", 4)
    with alora_flow.load(tmp_path / "long.flow") as module, pytest.raises(BadInput, match=re.escape(warning.message)):
        module.flow(None)(q=words)

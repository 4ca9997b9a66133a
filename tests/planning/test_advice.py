"""Warnings that need a model's tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.errors import BadModel
from alora_flow.planning.compilation import Compilation
from tests import tiny

FLOW = """
model base = "model"
intrinsic check() -> bool { adapter "adapter" invoke ">c" emits bool }
flow main(q: str) -> bool { return check() on user(q) }
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
    (warning,) = made.advice(made.flow(None))
    assert (warning.code, warning.severity, warning.span.line) == ("W0901", "warning", 4)
    assert "'check' is invoked by the tokens" in warning.message
    assert "behind '</>'" in warning.message


def test_one_that_stays_as_it_is_is_not(tmp_path: Path) -> None:
    made = compilation(tmp_path, PLAIN)
    assert made.advice(made.flow(None)) == ()


def test_a_template_that_rewrites_earlier_turns_is_an_error_of_the_plan(tmp_path: Path) -> None:
    last_only = "{% for m in messages %}{% if loop.last %}{{ m['role'] + m['content'] }}{% endif %}{% endfor %}"
    made = compilation(tmp_path, last_only)
    (tmp_path / "case.flow").write_text(FLOW.replace("user(q)", "(user(q) + assistant(q))"))
    with pytest.raises(BadModel, match="rewrites earlier turns when assistant follows user"):
        made.plan(made.flow(None), {})

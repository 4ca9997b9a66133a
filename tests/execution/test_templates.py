"""Flows on models with the templates of others keep their promise: what is planned is what the engine finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import alora_flow
from alora_flow.intrinsics.library import BUNDLED
from tests.prompts import oracle

FLOW = """
model base = "model"
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
flow main(q: str, history: chat = []) -> str {
  thread ask = system("Be brief. ") + history + user("{q}\\n")
  let safe = safety() on ask
  let first = generate(max_tokens: 12) on (ask + documents([document("Ada is the mayor.", title: "Tarnok")]))
  let sure = safety() on first
  let second = generate(max_tokens: 12) on (first.thread + user("Sure?"))
  let third = generate(max_tokens: 4) on (second.thread + tool_result("\\{\\}"))
  return "{safe} {sure} {second.text} {third.text}"
}
"""
HISTORY = [
    {"role": "user", "content": "Hello <|end|>"},
    {"role": "assistant", "content": [{"type": "text", "text": "<think>hm</think>\\n\\nHello."}]},
]


@pytest.mark.parametrize("name", [*oracle.TAKE_ALL, *oracle.ALTERNATING])
def test_plan_and_run_agree(tmp_path: Path, name: str) -> None:
    template = {**oracle.TAKE_ALL, **oracle.ALTERNATING}[name]
    shutil.copytree(BUNDLED["mini"], tmp_path / "model")
    for text, own in (("<|im_end|>", "<|end|>"), ("bos_token", "''"), ("eos_token", "'<|end|>'")):
        template = template.replace(text, own)
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    shutil.copytree(BUNDLED["mini"].parent / "intrinsics" / "safety" / "mini" / "alora", tmp_path / "safety")
    (tmp_path / "case.flow").write_text(FLOW)
    module = alora_flow.load(tmp_path / "case.flow")
    for history in ([], HISTORY):
        trace = module.main(q="Who is the mayor?", history=history).trace
        assert trace.kept_promise

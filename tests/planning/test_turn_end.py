"""An answer ends where the template ends a turn, whatever the model's own end is."""

from __future__ import annotations

from pathlib import Path

from alora_flow.planning.compilation import Compilation
from tests import tiny

FLOW = """
model base = "model"
flow main(q: str) -> str {
  let free = generate() on user(q)
  let number = generate() as int on user(q)
  let choice = generate() as bool on user(q)
  return "{free.text} {number} {choice}"
}
"""


def test_all_but_choices_stop_at_the_end_of_a_turn(tmp_path: Path) -> None:
    tiny.write_model_folder(tmp_path / "model")
    (tmp_path / "case.flow").write_text(FLOW)
    made = Compilation(tmp_path / "case.flow")
    forms = [step.call.form for step in made.schedule(made.flow(None), {}).steps]
    end = made.setup.prompter.tokenizer.control_token("<|end|>")
    assert [form.limits({}).get("stop_tokens") for form in forms] == [(end,), (end,), None]

"""An answer ends where the template ends a turn, whatever the model's own end is."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow.planning.compilation import Compilation
from tests import tiny
from tests.prompts import oracle

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


@pytest.mark.parametrize(
    ("source", "end"),
    [
        (oracle.CHATML, "<|im_end|>"),
        # As Apertus and Hy3 have it: only before a further turn.
        (
            oracle.CHATML.replace(
                "m['content'] + '<|im_end|>", "m['content'] + ('' if loop.last else '<|im_end|>') + '"
            ),
            "<|im_end|>",
        ),
        (oracle.CHATML.replace("<|im_end|>\n", ""), "<|im_start|>"),  # as GLM: nothing but what begins a further turn
        (oracle.CHATML.replace("<|im_end|>\n", "\n").replace("<|im_start|>", ""), None),
    ],
)
def test_the_end_of_an_answer_is_what_its_text_is_followed_by(tmp_path: Path, source: str, end: str | None) -> None:
    model = oracle.Model(tmp_path, source)
    assert model.prompter.turn_end == (None if end is None else model.tokenizer.control_token(end))

"""The bundled model calls by itself: on held-out questions a flow receives what the adapter gives at that place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import alora_flow
from alora_flow.mini import WEIGHTS
from alora_flow.mini.recipe.encoding import thread_ids
from alora_flow.mini.recipe.folders import adapter_folder
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.calls import AFTER, ASKS, BEFORE
from alora_flow.mini.world.chat import WorldTurn
from alora_flow.mini.world.heldout import SMALL, answerable, unanswerable

QUESTIONS = 12

FLOW = """
model base = "mini"

record Call { name: str, value: float, at: int }

intrinsic certainty() -> float[0.0..1.0] {
  adapter "uncertainty"
  emits int[0..9]
  value expected(10 * it + 5) / 100
}

intrinsic answerability() -> float[0.0..1.0] from "answerability"

flow asked(how: str, question: str, found: list[document]) -> list[Call] {
  let reply = generate(max_tokens: 48) on (system(how) + user(question) + documents(found))
    may invoke [certainty, answerability] budget 2
  return for call in reply.invocations limit 2 { keep Call(name: call.name, value: call.value, at: call.at_token) }
}
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> alora_flow.Module:
    path: Path = tmp_path_factory.mktemp("self") / "asked.flow"
    path.write_text(FLOW)
    return alora_flow.load(path)


def questions() -> list[tuple[WorldTurn, WorldTurn]]:
    """Held-out questions with documents behind them, half of which answer them."""
    samples = [*answerable(41, SMALL, 4 * QUESTIONS), *unanswerable(42, SMALL, 4 * QUESTIONS, careful=False)]
    fresh = [one for one in samples if [turn.role for turn in one.turns[-2:]] == ["user", "documents"]]
    return [(one.turns[-2], one.turns[-1]) for one in fresh[:: max(1, len(fresh) // QUESTIONS)]][:QUESTIONS]


@pytest.mark.parametrize("name", [BEFORE, AFTER])
@torch.no_grad()
def test_a_call_gives_what_the_adapter_gives_at_that_place(module: alora_flow.Module, name: str) -> None:
    base = AutoModelForCausalLM.from_pretrained(WEIGHTS / "base", dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, str(adapter_folder(WEIGHTS, name))).eval()
    encoder = Encoder.load(WEIGHTS / "base")
    labels = {"Y": 1.0, "N": 0.0} if name == BEFORE else {str(digit): (10 * digit + 5) / 100 for digit in range(10)}
    ids = torch.tensor([encoder.text(label)[0] for label in labels])
    values = torch.tensor([*labels.values()])
    for user, documents in questions():
        how = ASKS[name][0]
        found = passages(documents)
        result = module.asked(how=how, question=user.text, found=found)
        [call] = result.value
        assert result.trace.__getitem__
        assert call.name == ("answerability" if name == BEFORE else "certainty")
        prompt = [*thread_ids(encoder, [WorldTurn("system", how), user, documents]), encoder.assistant]
        written = greedy(base, prompt, encoder.role(name))
        assert len(written) == call.at
        whole = torch.tensor([[*prompt, *written, encoder.role(name)]])
        scores = peft(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0, -1]
        assert call.value == pytest.approx(float(scores[ids].softmax(0) @ values), abs=1e-4)


def passages(documents: WorldTurn) -> list[dict[str, str]]:
    """The turn's documents, without their numbers."""
    return [{"text": line.partition("] ")[2]} for line in documents.text.splitlines()]


def greedy(base: torch.nn.Module, prompt: list[int], end: int) -> list[int]:
    """What the base writes before this token, by whole forward passes."""
    written: list[int] = []
    for _ in range(40):
        token = int(base(input_ids=torch.tensor([[*prompt, *written]])).logits[0, -1].argmax())
        if token == end:
            return written
        written.append(token)
    raise AssertionError(f"the model never calls: {written}")


def test_who_is_not_asked_calls_nothing(module: alora_flow.Module) -> None:
    for user, documents in questions():
        found = passages(documents)
        assert module.asked(how="You are a helpful assistant.", question=user.text, found=found).value == []

"""Rows for the uncertainty intrinsic: questions that the base answers itself, and how often such answers are right.

    python -m recipes.smollm2.uncertainty --data DIR --out DIR

The questions are the answerable ones of `answerability/`, in their splits. Each is answered with its document, greedily
and at a temperature of 1, and without any. An answer is right where it holds one of the gold answers, word for word.
Targets of 5 % to 95 % come of a calibration by context and by the base's own probabilities, which is fitted to the
training rows alone. `outcome` of a row is what was measured: 1 for right, 0 for wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from alora_flow.intrinsics.library import find_model
from alora_flow.prompts.contents import KnownText, Thread, Turn
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.training.rows import LabelledRow, read_rows
from alora_runtime import Completion, Engine, Request, Run

SPLITS = ("train", "val", "test")

LONGEST = 32
"""Tokens of an answer."""

AT_ONCE = 128
"""Questions that are answered side by side."""


@dataclass(frozen=True)
class Kind:
    """A way to ask. Where `document` is false, the base has its memory only."""

    name: str
    document: bool
    temperature: float = 0.0


KINDS = (Kind("with its document", True), Kind("with its document, sampled", True, 1.0), Kind("from memory", False))


@dataclass(frozen=True)
class Answered:
    """A question as it was asked, what the base said, and what the base's probabilities of its tokens were."""

    row: LabelledRow
    kind: Kind
    completion: Completion

    @property
    def right(self) -> bool:
        """Does the answer hold a gold answer, word for word?"""
        said = f" {normal(self.completion.text)} "
        return any(f" {normal(answer)} " in said for answer in self.row.answers if normal(answer))

    @property
    def features(self) -> list[float]:
        """What the calibration sees: the mean and the least log-probability of a token, and which way was asked."""
        sure = [chances[token] for token, chances in zip(self.completion.tokens, self.completion.logprobs, strict=True)]
        own = [sum(sure) / len(sure), min(sure), float(len(sure) == LONGEST), 1.0]
        return [number if kind is self.kind else 0.0 for kind in KINDS for number in own]


def normal(text: str) -> str:
    """Lower case, without punctuation and articles: as SQuAD compares answers."""
    words = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", words).split())


def ask(engine: Engine, prompter: Prompter, split: str, rows: Sequence[LabelledRow]) -> Iterator[Answered]:
    """Let the base answer all rows of a split in all ways; rows of one document together, so that it is read once."""
    rows = sorted(rows, key=lambda row: [document.text for document in row.documents])
    for kind in KINDS:
        requests = []
        for number, row in enumerate(rows):
            question = Turn("user", (KnownText(row.messages[-1].content),))
            thread = Thread.of([*row.thread[:-1], question] if kind.document else [question])
            tokens = [one for one in prompter.writing(thread).symbols if isinstance(one, int)]
            tokens += prompter.generation_tokens(thread)
            requests.append(
                Request([Run(tokens)], LONGEST, kind.temperature, seed=number, logprobs=1, stop_tokens=_ends(prompter))
            )
        for start in range(0, len(rows), AT_ONCE):
            some = engine.generate(requests[start : start + AT_ONCE])
            for row, completion in zip(rows[start : start + AT_ONCE], some, strict=True):
                if completion.tokens:
                    yield Answered(row, kind, completion)
            print(f"{split}, {kind.name}: {start + len(some)} of {len(rows)}", flush=True)


def _ends(prompter: Prompter) -> tuple[int, ...]:
    return () if prompter.turn_end is None else (prompter.turn_end,)


def calibrated(train: Sequence[Answered]) -> Callable[[Sequence[Answered]], Tensor]:
    """The probability that an answer is right, by its features: a logistic regression on what was measured."""
    features = torch.tensor([one.features for one in train])
    right = torch.tensor([float(one.right) for one in train])
    weights = torch.zeros(features.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(features @ weights, right) + 1e-4 * weights.square().sum()
        torch.autograd.backward(value)
        return float(value.detach())

    optimiser.step(loss)
    return lambda some: (torch.tensor([one.features for one in some]) @ weights.detach()).sigmoid()


def digit(chance: float) -> str:
    """0 stands for 5 %, 9 for 95 %."""
    return str(min(9, int(10 * chance)))


def written(one: Answered, chance: float) -> dict[str, Any]:
    """A row as it is learnt from."""
    messages = [{"role": "user", "content": one.row.messages[-1].content}]
    messages.append({"role": "assistant", "content": one.completion.text})
    documents = [document.text for document in one.row.documents] if one.kind.document else []
    return {
        "messages": messages,
        "documents": documents,
        "completion": digit(chance),
        "outcome": float(one.right),
        "source": one.kind.name,
        "group": one.row.group,
    }


def main() -> None:
    """Write OUT/uncertainty/{train,val,test}.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds answerability/")
    parser.add_argument("--out", type=Path, required=True, help="where uncertainty/ is written")
    given = parser.parse_args()
    base = find_model("smollm2", Path())
    tokenizer = Tokenizer(base.folder)
    prompter = Prompter(tokenizer, ChatTemplate(base.folder, tokenizer.control))
    engine = Engine.load(base.folder, dtype="bfloat16")
    chance: Callable[[Sequence[Answered]], Tensor] | None = None
    folder = given.out / "uncertainty"
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        rows = [row for row in read_rows(given.data, [f"answerability/{split}.jsonl"]) if row.completion == "Y"]
        answered = list(ask(engine, prompter, split, rows))
        chance = chance or calibrated(answered)
        lines = [json.dumps(written(one, float(p))) for one, p in zip(answered, chance(answered), strict=True)]
        (folder / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        for kind in KINDS:
            own = [one.right for one in answered if one.kind is kind]
            print(f"{split}, {kind.name}: {len(own)} answers, {sum(own) / len(own):.1%} right")


if __name__ == "__main__":
    main()

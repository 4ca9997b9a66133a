"""Rows for the uncertainty intrinsic: questions that the base answers itself, and how often such answers are right.

    python -m recipes.smollm2.uncertainty --data DIR --out DIR

The questions are the answerable ones of `answerability/`, in their splits. Each is answered with its document, greedily
and at a temperature of 1, and without any. An answer is right where it holds one of the gold answers, word for word.
Targets of 5 % to 95 % come of a calibration by the way of asking, by the base's own probabilities, and by how many
words the answer shares with the question and the document. It is fitted to the training rows alone. `outcome` of a row
is what was measured: 1 for right, 0 for wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log1p
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
from recipes.smollm2.command import run

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


KINDS = (Kind("with its document", True), Kind("from memory", False), Kind("with its document, sampled", True, 1.0))


@dataclass(frozen=True)
class Answered:
    """A question as it was asked, what the base said, and the log-probabilities of its tokens."""

    row: LabelledRow
    kind: Kind
    text: str
    chances: Sequence[float]

    @property
    def right(self) -> bool:
        """Does the answer hold a gold answer, word for word?"""
        said = f" {normal(self.text)} "
        return any(f" {normal(answer)} " in said for answer in self.row.answers if normal(answer))

    @property
    def features(self) -> list[float]:
        """What the calibration sees: the mean and the least log-probability of a token, whether the answer was cut, and
        its words: how many are the document's, how many are not the question's, and how many of the question's it has.
        """
        own, asked = normal(self.text).split(), set(normal(self.row.messages[-1].content).split())
        document = set(normal(" ".join(one.text for one in self.row.documents)).split())
        new = [word for word in own if word not in asked]
        return [
            sum(self.chances) / len(self.chances),
            min(self.chances),
            float(len(self.chances) == LONGEST),
            sum(word in document for word in own) / max(1, len(own)),
            len(new) / max(1, len(own)),
            log1p(len(new)),
            len(asked.intersection(own)) / max(1, len(asked)),
        ]


def normal(text: str) -> str:
    """Lower case, without punctuation and articles: as SQuAD compares answers."""
    words = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", words).split())


class Base:
    """The base, and what it has answered so far: a file, so that one who was interrupted goes on."""

    def __init__(self, notes: Path) -> None:
        base = find_model("smollm2", Path())
        tokenizer = Tokenizer(base.folder)
        self._prompter = Prompter(tokenizer, ChatTemplate(base.folder, tokenizer.control))
        self._engine = Engine.load(base.folder, dtype="bfloat16")
        self._notes = notes
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        self._known = {tuple(one[0]): one for one in map(json.loads, filter(lambda line: line.endswith("]"), lines))}

    def ask(self, split: str, rows: Sequence[LabelledRow], kind: Kind) -> list[Answered]:
        """Its answers to all rows, but for empty ones; rows of one document together, so that it is read once."""
        rows = sorted(rows, key=lambda row: [document.text for document in row.documents])
        keys = [(split, kind.name, row.where.rpartition(" ")[2]) for row in rows]
        open_ = [number for number, key in enumerate(keys) if key not in self._known]
        for start in range(0, len(open_), AT_ONCE):
            some = open_[start : start + AT_ONCE]
            done = self._engine.generate([self._request(rows[number], number, kind) for number in some])
            with self._notes.open("a", encoding="utf-8") as file:
                for number, completion in zip(some, done, strict=True):
                    self._known[keys[number]] = [keys[number], completion.text, _chances(completion)]
                    file.write(json.dumps(self._known[keys[number]]) + "\n")
            print(f"{split}, {kind.name}: {start + len(some)} of {len(open_)}", flush=True)
        told = [(row, self._known[key]) for row, key in zip(rows, keys, strict=True)]
        return [Answered(row, kind, text, chances) for row, (_, text, chances) in told if chances]

    def _request(self, row: LabelledRow, seed: int, kind: Kind) -> Request:
        question = Turn("user", (KnownText(row.messages[-1].content),))
        thread = Thread.of([*row.thread[:-1], question] if kind.document else [question])
        tokens = [one for one in self._prompter.writing(thread).symbols if isinstance(one, int)]
        tokens += self._prompter.generation_tokens(thread)
        ends = () if self._prompter.turn_end is None else (self._prompter.turn_end,)
        return Request([Run(tokens)], LONGEST, kind.temperature, seed=seed, logprobs=1, stop_tokens=ends)


def _chances(completion: Completion) -> list[float]:
    """The log-probability of each token that was written."""
    return [round(given[token], 5) for token, given in zip(completion.tokens, completion.logprobs, strict=True)]


def calibrated(train: Sequence[Answered]) -> Callable[[Sequence[Answered]], Tensor]:
    """The probability that an answer is right, by its features: for each way of asking a logistic regression on what
    was measured."""
    fitted = {kind: _fitted([one for one in train if one.kind is kind]) for kind in {one.kind for one in train}}
    return lambda some: torch.tensor([fitted[one.kind](one) for one in some])


def _fitted(train: Sequence[Answered]) -> Callable[[Answered], float]:
    features = torch.tensor([one.features for one in train])
    right = torch.tensor([float(one.right) for one in train])
    middle, spread = features.mean(0), features.std(0) + 1e-6
    weights, rest = torch.zeros(features.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, rest], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        scores = (features - middle) / spread @ weights + rest
        value = F.binary_cross_entropy_with_logits(scores, right) + 1e-2 * weights.square().sum()
        torch.autograd.backward(value)
        return float(value.detach())

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch gives it no types

    def chance(one: Answered) -> float:
        return float((((torch.tensor(one.features) - middle) / spread) @ weights + rest).sigmoid().detach())

    return chance


def digit(chance: float) -> str:
    """0 stands for 5 %, 9 for 95 %."""
    return str(min(9, int(10 * chance)))


def written(one: Answered, chance: float) -> dict[str, Any]:
    """A row as it is learnt from."""
    messages = [{"role": "user", "content": one.row.messages[-1].content}]
    messages.append({"role": "assistant", "content": one.text})
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
    parser.add_argument("--kinds", type=int, default=len(KINDS), help="so many of the ways to ask; the last is sampled")
    given = parser.parse_args()
    rows = {
        split: [row for row in read_rows(given.data, [f"answerability/{split}.jsonl"]) if row.completion == "Y"]
        for split in SPLITS
    }
    folder = given.out / "uncertainty"
    folder.mkdir(parents=True, exist_ok=True)
    base = Base(folder / "answers.jsonl")
    answered: dict[str, list[Answered]] = {split: [] for split in SPLITS}
    for kind in KINDS[: given.kinds]:
        for split in SPLITS:
            own = base.ask(split, rows[split], kind)
            answered[split] += own
            right = sum(one.right for one in own) / len(own)
            print(f"{split}, {kind.name}: {len(own)} answers, {right:.1%} right", flush=True)
    chance = calibrated(answered["train"])
    for split, some in answered.items():
        lines = [json.dumps(written(one, float(p))) for one, p in zip(some, chance(some), strict=True)]
        (folder / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    run(main)

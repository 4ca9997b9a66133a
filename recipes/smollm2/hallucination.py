"""More rows for the hallucination intrinsic, out of the answerability rows.

    python -m recipes.smollm2.hallucination --data DIR --out DIR

`hallucination_more/`, for training: of each answerable question its gold answer, which the document supports; the
answer of another question of the same passage, which it does not; and of one in five the answer of another passage.

`hallucination_sentences/`, for all splits: whole sentences, as a model writes them. What the document supports is the
sentence of the passage that holds the answer, or the answer in a few words around it; what it does not are the same
with another answer in its place. Half of the passages have a system turn before them; some stand beside another one, or
have broken lines.

All stand in the groups of the answerability rows, whose splits are those of `hallucination/`.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.training.rows import LabelledRow, read_rows
from recipes.smollm2.command import run
from recipes.smollm2.places import Place, drawn, plain, write

FOREIGN = 5
"""Of one question in so many, the answer of another passage."""

FRAMES = (
    "It is {}.",
    "The answer is {}.",
    "According to the document, it is {}.",
    "That is {}.",
    "{}, as the text says.",
)

SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z])")
"""What parts two sentences."""

LONGEST = 260
"""Characters of a sentence."""

ROWS = {"train": 1600, "val": 200, "test": 400}
"""Of sentences, in each split."""


def made(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """Rows with the labels Y, supported, and N."""
    passages: dict[str, list[LabelledRow]] = defaultdict(list)
    for row in rows:
        passages[row.documents[0].text].append(row)
    for text, own in passages.items():
        for row in own:
            yield _answered(plain(row), row, row.answers[0], "Y", "squad_gold")
            others = [one.answers[0] for one in own if not _alike(one.answers[0], row)]
            if others:
                yield _answered(plain(row), row, random.choice(others), "N", "squad_swap")
            foreign = random.choice(rows)
            if (
                not random.randrange(FOREIGN)
                and foreign.documents[0].text != text
                and not _alike(foreign.answers[0], row)
            ):
                yield _answered(plain(row), row, foreign.answers[0], "N", "squad_foreign")


def _alike(answer: str, row: LabelledRow) -> bool:
    """Could it be taken for an answer to the row's question?"""
    return any(answer.lower() in one.lower() or one.lower() in answer.lower() for one in row.answers)


def _answered(place: Place, row: LabelledRow, answer: str, label: str, source: str) -> dict[str, Any]:
    """The row's question, and an answer as the base's."""
    return place.row([("user", row.messages[-1].content), ("assistant", answer)], label, source)


def sentences(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """Rows whose answer is a sentence, with the labels Y and N in turn."""
    passages: dict[str, list[LabelledRow]] = defaultdict(list)
    for row in rows:
        passages[row.documents[0].text].append(row)
    places = {text: drawn(own[0], rows, random, system=0.5, second=0.3, broken=0.2) for text, own in passages.items()}
    for row in rows:
        text, answer = row.documents[0].text, row.answers[0]
        others = [one.answers[0] for one in passages[text] if _alike_in_kind(one.answers[0], row)]
        holding = [one for one in SENTENCE.split(text) if answer in one and len(one) <= LONGEST]
        if not others or not holding:
            continue
        wrong, frame = random.choice(others), random.choice(FRAMES)
        sentence = holding[0].strip()
        false = sentence.replace(answer, wrong)
        whole = random.random() < 0.5 and wrong not in sentence and not any(one in false for one in row.answers)
        right, made_up = (sentence, false) if whole else (frame.format(answer), frame.format(wrong))
        yield _answered(places[text], row, right, "Y", "squad_sentence")
        yield _answered(places[text], row, made_up, "N", "squad_sentence_wrong")


def _alike_in_kind(answer: str, row: LabelledRow) -> bool:
    """Could it stand in the answer's place without being one: a number for a number."""
    numbers = [any(sign.isdigit() for sign in one) for one in (answer, row.answers[0])]
    return numbers[0] == numbers[1] and not _alike(answer, row)


def main() -> None:
    """Write OUT/hallucination_more/train.jsonl, and OUT/hallucination_sentences/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds answerability/")
    parser.add_argument("--out", type=Path, required=True, help="where the two folders are written")
    given = parser.parse_args()
    for split, count in ROWS.items():
        read = read_rows(given.data, [f"answerability/{split}.jsonl"])
        rows = [row for row in read if row.completion == "Y" and row.answers]
        if split == "train":
            write(given.out / "hallucination_more" / "train.jsonl", [*made(rows, Random(0))])
        random = Random(split)
        every = [*sentences(random.sample(rows, len(rows)), random)]
        write(given.out / "hallucination_sentences" / f"{split}.jsonl", every[:count])


if __name__ == "__main__":
    run(main)

"""More rows for the hallucination intrinsic, out of the answerability rows.

    python -m recipes.smollm2.hallucination --data DIR --out DIR

`hallucination_more/`, for training: of each answerable question its gold answer, which the document supports; the
answer of another question of the same passage, which it does not; and of one in five the answer of another passage.

`hallucination_sentences/`, for all splits: whole sentences, as a model writes them. What the document supports is the
sentence of the passage that holds the answer, or the answer in a few words around it; what it does not are the same
with another answer in its place. Half of the rows have a system turn; some have two documents, or broken lines.

All stand in the groups of the answerability rows, whose splits are those of `hallucination/`.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.training.rows import LabelledRow, read_rows

FOREIGN = 5
"""Of one question in so many, the answer of another passage."""

FRAMES = (
    "It is {}.",
    "The answer is {}.",
    "According to the document, it is {}.",
    "That is {}.",
    "{}, as the text says.",
)

SYSTEMS = (
    "You answer from the documents only.",
    "You are a helpful assistant.",
    "Answer the questions of the user from the documents.",
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
            yield written(row, row.answers[0], "Y", "squad_gold")
            others = [one.answers[0] for one in own if not _alike(one.answers[0], row)]
            if others:
                yield written(row, random.choice(others), "N", "squad_swap")
            foreign = random.choice(rows)
            if (
                not random.randrange(FOREIGN)
                and foreign.documents[0].text != text
                and not _alike(foreign.answers[0], row)
            ):
                yield written(row, foreign.answers[0], "N", "squad_foreign")


def _alike(answer: str, row: LabelledRow) -> bool:
    """Could it be taken for an answer to the row's question?"""
    return any(answer.lower() in one.lower() or one.lower() in answer.lower() for one in row.answers)


def written(row: LabelledRow, answer: str, label: str, source: str) -> dict[str, Any]:
    """A question, its document, and an answer as the base's."""
    messages = [{"role": "user", "content": row.messages[-1].content}, {"role": "assistant", "content": answer}]
    return {
        "messages": messages,
        "documents": [document.text for document in row.documents],
        "completion": label,
        "source": source,
        "group": row.group,
    }


def sentences(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """Rows whose answer is a sentence, with the labels Y and N in turn."""
    passages: dict[str, list[LabelledRow]] = defaultdict(list)
    for row in rows:
        passages[row.documents[0].text].append(row)
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
        yield placed(row, sentence if whole else frame.format(answer), "Y", rows, random)
        yield placed(row, false if whole else frame.format(wrong), "N", rows, random)


def _alike_in_kind(answer: str, row: LabelledRow) -> bool:
    """Could it stand in the answer's place without being one: a number for a number."""
    numbers = [any(sign.isdigit() for sign in one) for one in (answer, row.answers[0])]
    return numbers[0] == numbers[1] and not _alike(answer, row)


def placed(row: LabelledRow, answer: str, label: str, rows: Sequence[LabelledRow], random: Random) -> dict[str, Any]:
    """An answer as flows have it: behind a system turn or none, with one document or two."""
    one = written(row, answer, label, "squad_sentence" if label == "Y" else "squad_sentence_wrong")
    if random.random() < 0.5:
        one["messages"].insert(0, {"role": "system", "content": random.choice(SYSTEMS)})
    if random.random() < 0.3:
        one["documents"].insert(random.randrange(2), random.choice(rows).documents[0].text)
    if random.random() < 0.2:
        one["documents"] = [textwrap.fill(text, 100) for text in one["documents"]]
    return one


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} rows: {path}")


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
    main()

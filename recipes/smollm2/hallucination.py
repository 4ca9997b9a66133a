"""More training rows for the hallucination intrinsic, out of the answerability rows.

    python -m recipes.smollm2.hallucination --data DIR --out DIR

Of each answerable training question: its gold answer, which the document supports; the answer of another question of
the same passage, which it does not; and of one in five the answer of another passage. They stand in the groups of the
answerability rows, whose splits are those of `hallucination/`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.training.rows import LabelledRow, read_rows

FOREIGN = 5
"""Of one question in so many, the answer of another passage."""


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


def main() -> None:
    """Write OUT/hallucination_more/train.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds answerability/")
    parser.add_argument("--out", type=Path, required=True, help="where hallucination_more/ is written")
    given = parser.parse_args()
    rows = [
        row for row in read_rows(given.data, ["answerability/train.jsonl"]) if row.completion == "Y" and row.answers
    ]
    lines = [json.dumps(row) for row in made(rows, Random(0))]
    folder = given.out / "hallucination_more"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} rows of {len(rows)} questions: {folder / 'train.jsonl'}")


if __name__ == "__main__":
    main()

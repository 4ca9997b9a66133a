"""More rows for the answerability intrinsic, out of the answerable questions.

    python -m recipes.smollm2.answerability --data DIR --out DIR

`answerability_more/`, for training: questions whose document has the answer, as flows ask them (behind a system turn,
with two documents, with broken lines), and questions that look as if it had. Those are made as people made SQuAD's: a
name or a number of the question is another one of the passage, or a word is its opposite. Some are questions about
another article. All questions of a passage stand behind the same, so that it is read once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.training.rows import LabelledRow, read_rows
from recipes.smollm2.command import run
from recipes.smollm2.places import Place, drawn, write

NAME = re.compile(r"(?<=[a-z,] )(?:the )?[A-Z][\w’'-]+(?: (?:of |the |and )*[A-Z][\w’'-]+)*")
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")

OPPOSITES = (
    *(("first", "last"), ("north", "south"), ("northern", "southern"), ("east", "west"), ("eastern", "western")),
    *(("before", "after"), ("largest", "smallest"), ("highest", "lowest"), ("high", "low"), ("most", "least")),
    *(
        ("more", "fewer"),
        ("increase", "decrease"),
        ("won", "lost"),
        ("early", "late"),
        ("old", "new"),
        ("over", "under"),
    ),
    *(("oldest", "newest"), ("best", "worst"), ("began", "ended"), ("begin", "end"), ("started", "stopped")),
    *(("founded", "closed"), ("male", "female"), ("men", "women"), ("public", "private"), ("above", "below")),
    *(("major", "minor"), ("main", "least important"), ("common", "rare"), ("built", "destroyed"), ("rise", "fall")),
    *(("with", "without"), ("longest", "shortest"), ("inside", "outside"), ("allowed", "forbidden"), ("all", "none")),
    *(("positive", "negative"), ("maximum", "minimum"), ("upper", "lower"), ("majority", "minority")),
)
TURNED = {word: other for pair in OPPOSITES for word, other in (pair, pair[::-1])}
WORD = re.compile(rf"\b({'|'.join(TURNED)})\b")


def made(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """Rows with the labels Y and N, of questions whose document has the answer."""
    places: dict[str | int, Place] = {}
    for row in rows:
        if row.group not in places:
            places[row.group] = drawn(row, rows, random, system=0.4, second=0.2, broken=0.15)
        place = places[row.group]
        question = row.messages[-1].content
        yield place.row([("user", question)], "Y", "asked")
        ways = [way for way in (swapped(question, row, random), opposite(question)) if way is not None]
        if ways:
            yield place.row([("user", random.choice(ways))], "N", "looks_answered")
        other = random.choice(rows)
        if random.random() < 0.25 and _article(other) != _article(row):
            yield place.row([("user", other.messages[-1].content)], "N", "asked_of_another")


def _article(row: LabelledRow) -> str:
    return str(row.group).partition("#")[0]


def swapped(question: str, row: LabelledRow, random: Random) -> str | None:
    """With another name, or another number, of the document in the place of the question's own; None without any."""
    text = row.documents[0].text
    for kind in (NAME, NUMBER):
        own = kind.findall(question)
        found = {one for one in kind.findall(text) if one not in question and not _answers(one, row)}
        for mine in random.sample(own, len(own)):
            if others := sorted(one for one in found if one.count(" ") == mine.count(" ")):
                return question.replace(mine, random.choice(others), 1)
    return None


def _answers(name: str, row: LabelledRow) -> bool:
    return any(name.lower() in one.lower() or one.lower() in name.lower() for one in row.answers)


def opposite(question: str) -> str | None:
    """With one word turned into its opposite; None without any."""
    made = WORD.sub(lambda found: TURNED[found[0]], question, count=1)
    return made if made != question else None


def main() -> None:
    """Write OUT/answerability_more/train.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds answerability/")
    parser.add_argument("--out", type=Path, required=True, help="where the folder is written")
    given = parser.parse_args()
    rows = [row for row in read_rows(given.data, ["answerability/train.jsonl"]) if row.completion == "Y"]
    write(given.out / "answerability_more" / "train.jsonl", [*made(rows, Random(0))])


if __name__ == "__main__":
    run(main)

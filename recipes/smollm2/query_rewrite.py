"""Rows for the query-rewrite intrinsic: a user's last question, so that it stands alone.

    python -m recipes.smollm2.query_rewrite --data DIR --out DIR

Of each question of `answerability/` that names somebody or something: what was asked before names it, too, and the
question itself has a pronoun in its place. What is to be written is the question as it was. As many questions stand
alone from the beginning, with and without other talk before them, and are to stay what they are.
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
from recipes.smollm2.places import write

SPLITS = ("train", "val", "test")

NAME = re.compile(r"(?<=[a-z,] )(?:the )?[A-Z][\w'-]+(?: (?:of |and |the )*[A-Z][\w'-]+)*(?:'s)?")
"""A proper name that does not begin the question, with its article."""

TALK = (
    ("Hello!", "Hello! How can I help you?"),
    ("Can you help me with my homework?", "Of course. What is it about?"),
    ("Thanks, that helps.", "You are welcome."),
)


def made(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """Rows whose completion is the question to look up."""
    passages: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        passages[row.documents[0].text].append(row.messages[-1].content)
    for row in rows:
        question, own = row.messages[-1].content, passages[row.documents[0].text]
        names = NAME.findall(question)
        if names:
            name = random.choice(names)
            naming = [one for one in own if name.removesuffix("'s") in one and one != question]
            before = random.choice(naming) if naming else f"What do you know about {name.removesuffix(chr(39) + 's')}?"
            follow_up = question.replace(name, _pronoun(name, random), 1)
            yield written(row, [(before, _answer(before, rows))], follow_up, question, "names what was named before")
        chance = random.random()
        other = next((one for one in own if one != question), "Who are you?")
        talk = [] if chance < 0.5 else [random.choice(TALK)] if chance < 0.8 else [(other, _answer(other, rows))]
        yield written(row, talk, question, question, "stands alone")


def _pronoun(name: str, random: Random) -> str:
    many = name.removesuffix("'s").endswith("s")
    if name.endswith("'s"):
        return "their" if many else random.choice(("its", "his", "their"))
    return "them" if many else random.choice(("it", "that", "him"))


def _answer(question: str, rows: Sequence[LabelledRow]) -> str:
    """A gold answer to a question, or that there is none."""
    for row in rows:
        if row.messages[-1].content == question and row.answers:
            return row.answers[0]
    return "I don't know."


def written(
    row: LabelledRow, talk: Sequence[tuple[str, str]], question: str, whole: str, source: str
) -> dict[str, Any]:
    """What was said before, the question as it is asked, and as it stands alone."""
    messages = []
    for asked, said in talk:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    messages.append({"role": "user", "content": question})
    return {"messages": messages, "completion": whole, "source": source, "group": row.group}


def main() -> None:
    """Write OUT/query_rewrite/{train,val,test}.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds answerability/")
    parser.add_argument("--out", type=Path, required=True, help="where query_rewrite/ is written")
    given = parser.parse_args()
    for split in SPLITS:
        rows = list(made(read_rows(given.data, [f"answerability/{split}.jsonl"]), Random(split)))
        write(given.out / "query_rewrite" / f"{split}.jsonl", rows)


if __name__ == "__main__":
    run(main)

"""More training rows for the safety intrinsic: harmless requests in words of violence, and harmful ones beside them.

    python -m recipes.smollm2.safety --data DIR --out DIR

`safety_more/`: the public prompts teach a model that a word such as "kill" is unsafe. Here the same words stand in
both kinds of request: what is done to whom decides. And many of the public harmful ones are told as tasks ("Develop a
plan to"), which safe ones seldom are: here both have the same forms. All were written for this recipe
(`safety_words.toml`).

`safety_framed/`: the public prompts are first turns of chats without a system turn. Here some of them stand behind a
system turn, behind earlier talk, or behind both: an adapter that has seen none of it takes most of these for safe.

With `--without SOURCE …`, DIR/safety is written, too: training and validation without these sources, and a test of
nothing else. So `train` and `eval` on OUT tell what is to be expected of prompts from elsewhere.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.errors import BadInput
from alora_flow.training.rows import LabelledRow, read_rows
from recipes.smollm2.command import run
from recipes.smollm2.places import write

WORDS = Path(__file__).with_name("safety_words.toml")

FRAMED = {"train": 1600, "val": 200, "test": 600}
"""Rows of each split that are framed."""

SYSTEMS = (
    *("You answer from the documents only.", "You are a helpful assistant.", "Be brief and helpful."),
    *("You are an assistant of a city library. Answer the questions of visitors.", "Answer in one sentence."),
    *("Today is Monday. You help customers of a shop for tools.", "You are a careful teacher.", "You write stories."),
)

TALK = (
    ("Hello!", "Hello! How can I help you?"),
    ("Can you help me?", "Of course. What is it about?"),
    ("Thanks, that helps.", "You are welcome."),
)

ANSWERS = ("Gladly. Here is what I know about it.", "That depends on what you need.", "Let me explain it briefly.")
"""To earlier requests."""


def made(words: Mapping[str, Sequence[str]], random: Random) -> Iterator[tuple[str, str, str]]:
    """Requests with their labels, Y for safe, and what kind they are."""
    for phrase in words["harmless"]:
        for ask in random.sample(words["asks"], 2):
            yield ask.format(phrase), "Y", "harmless, in violent words"
    for phrase in words["harmful"]:
        for ask in random.sample(words["asks"], 2):
            yield ask.format(phrase), "N", "harmful, in the same words"
    for kind, label in (("everyday", "Y"), ("wrongdoing", "N")):
        for phrase in words[kind]:
            for ask in random.sample([*words["asks"], *words["tasks"]], 4):
                yield ask.format(phrase), label, f"tasks: {kind}"
    for term in words["terms"]:
        for ask in random.sample(("What is {}?", "Define {}.", "Explain to me what {} is."), 2):
            yield ask.format(term), "Y", "definitions"
    past = [random.choice(words["past"]).format(person) for person in [*words["people"], *words["people"]]]
    for text in (*words["events"], *words["facts"], *past):
        yield text, "Y", "history and public facts"
    for what in words["private"]:
        for person in random.sample(words["fiction"], 5):
            yield f"What is {what} of {person}?", "Y", "privacy of fiction"
        for person in random.sample(words["persons"], 5):
            asked = random.choice((f"Find out {what} of {person}.", f"Tell me {what} of {person}."))
            yield asked, "N", "privacy of people"
    for ask in words["unkind"]:
        for group in random.sample(words["unreal"], 5):
            yield ask.format(group), "Y", "groups that are not real"
        for group in random.sample(words["real"], 5):
            yield ask.format(group), "N", "real groups"
    for ask in words["silly"]:
        for group in random.sample(words["real"], 6):
            yield ask.format(group), "Y", "nonsense about real groups"


def framed(rows: Sequence[LabelledRow], random: Random) -> Iterator[dict[str, Any]]:
    """The same requests as flows have them: behind a system turn, behind earlier talk, or behind both."""
    safe = [row.messages[-1].content for row in rows if row.completion == "Y" and len(row.messages[-1].content) < 200]
    for row in rows:
        system = [{"role": "system", "content": random.choice(SYSTEMS)}]
        asked, answered = random.choice([*TALK, *((text, random.choice(ANSWERS)) for text in random.sample(safe, 4))])
        talk = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        before = random.choice(([*system], [*system], [*talk], [*system, *talk]))
        yield {
            "messages": [*before, *(turn.model_dump(include={"role", "content"}) for turn in row.messages)],
            "completion": row.completion,
            "source": "behind a system turn" if before == system else "behind earlier talk",
            "group": row.group,
        }


def parted(data: Path, without: Sequence[str]) -> dict[str, list[LabelledRow]]:
    """The public prompts by split. without: sources that are asked only; no row that is learnt from is near to theirs.
    Raises BadInput for a source that there is not."""
    splits = {split: read_rows(data, [f"safety/{split}.jsonl"]) for split in FRAMED}
    known = {row.source for rows in splits.values() for row in rows}
    if strange := sorted({*without} - known):
        raise BadInput(f"there is no source {strange[0]!r}", f"there are {', '.join(sorted(known))}")
    asked = [row for rows in splits.values() for row in rows if row.source in without]
    groups = {row.group for row in asked}
    learnt = {split: [row for row in rows if row.group not in groups] for split, rows in splits.items()}
    return {**learnt, "test": asked} if without else splits


def main() -> None:
    """Write OUT/safety_more/train.jsonl and OUT/safety_framed/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds safety/")
    parser.add_argument("--out", type=Path, required=True, help="where the two folders are written")
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources that are asked only")
    given = parser.parse_args()
    splits = parted(given.data, given.without)
    rows = [
        {
            "messages": [{"role": "user", "content": text}],
            "completion": label,
            "source": kind,
            "group": f"written {number}",
        }
        for number, (text, label, kind) in enumerate(dict.fromkeys(made(tomllib.loads(WORDS.read_text()), Random(0))))
    ]
    write(given.out / "safety_more" / "train.jsonl", rows)
    for split, public in splits.items():
        count = min(FRAMED[split], len(public))
        random = Random(split)
        write(given.out / "safety_framed" / f"{split}.jsonl", [*framed(random.sample(public, count), random)])
        if given.without:
            write(given.out / "safety" / f"{split}.jsonl", [row.model_dump(exclude_defaults=True) for row in public])


if __name__ == "__main__":
    run(main)

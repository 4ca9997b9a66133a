"""More training rows for the safety intrinsic: harmless requests in words of violence, and harmful ones beside them.

    python -m recipes.smollm2.safety --out DIR

The public prompts teach a model that a word such as "kill" is unsafe. Here the same words stand in both kinds of
request: what is done to whom decides. All were written for this recipe (`safety_words.toml`).
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

WORDS = Path(__file__).with_name("safety_words.toml")


def made(words: Mapping[str, Sequence[str]], random: Random) -> Iterator[tuple[str, str, str]]:
    """Requests with their labels, Y for safe, and what kind they are."""
    for phrase in words["harmless"]:
        for ask in random.sample(words["asks"], 2):
            yield ask.format(phrase), "Y", "harmless, in violent words"
    for phrase in words["harmful"]:
        for ask in random.sample(words["asks"], 2):
            yield ask.format(phrase), "N", "harmful, in the same words"
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


def main() -> None:
    """Write OUT/safety_more/train.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="where safety_more/ is written")
    folder = parser.parse_args().out / "safety_more"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "messages": [{"role": "user", "content": text}],
            "completion": label,
            "source": kind,
            "group": f"written {number}",
        }
        for number, (text, label, kind) in enumerate(dict.fromkeys(made(tomllib.loads(WORDS.read_text()), Random(0))))
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} rows: {folder / 'train.jsonl'}")


if __name__ == "__main__":
    main()

"""What stands before the questions of a passage, as flows have it, and rows as they are written."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from alora_flow.training.rows import LabelledRow

SYSTEMS = (
    "You answer from the documents only.",
    "You are a helpful assistant.",
    "Answer the questions of the user from the documents.",
)


@dataclass(frozen=True)
class Place:
    """The turns and the documents before a question. All questions of a passage stand behind the same, so that it is
    read once."""

    group: str | int
    turns: Sequence[dict[str, str]]
    documents: Sequence[str]

    def row(self, said: Sequence[tuple[str, str]], label: str, source: str) -> dict[str, Any]:
        """One that is written: roles and texts of what is said here, and what is to be answered."""
        return {
            "messages": [*self.turns, *({"role": role, "content": content} for role, content in said)],
            "documents": [*self.documents],
            "completion": label,
            "source": source,
            "group": self.group,
        }


def plain(row: LabelledRow) -> Place:
    """Its documents, and nothing else."""
    return Place(row.group, (), [document.text for document in row.documents])


def drawn(
    row: LabelledRow, rows: Sequence[LabelledRow], random: Random, system: float, second: float, broken: float
) -> Place:
    """Behind a system turn, with the document of another row, with broken lines: each with a probability."""
    turns = [{"role": "system", "content": random.choice(SYSTEMS)}] if random.random() < system else []
    documents = [row.documents[0].text]
    if random.random() < second:
        documents.insert(random.randrange(2), random.choice(rows).documents[0].text)
    if random.random() < broken:
        documents = [textwrap.fill(text, 100) for text in documents]
    return Place(row.group, turns, documents)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} rows: {path}")

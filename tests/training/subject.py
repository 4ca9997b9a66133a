"""The bundled model with a copy of its own library, rows of its world, and a spec: what is measured here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

from alora_flow.mini import WEIGHTS
from alora_flow.mini.world.tasks import Case, query_rewrite, safety
from alora_flow.mini.world.world import World

SPEC = """
base = "mini"
library = "library"

[all]
invocation = "<|safety|>"
train = "rows.jsonl"
validation = "rows.jsonl"
test = "rows.jsonl"

[intrinsic.safety]
answers = { Y = 1.0, N = 0.0 }

[intrinsic.query_rewrite]
invocation = "<|query_rewrite|>"
validation = "rewrites.jsonl"
test = "rewrites.jsonl"

[intrinsic.uncertainty]
invocation = "<|uncertainty|>"
answers = { 0 = 0.05, 1 = 0.15, 2 = 0.25, 3 = 0.35, 4 = 0.45, 5 = 0.55, 6 = 0.65, 7 = 0.75, 8 = 0.85, 9 = 0.95 }
validation = "sure.jsonl"
test = "sure.jsonl"
"""


def write_subject(folder: Path, count: int = 60) -> Path:
    """A folder with everything; returns the spec."""
    folder.mkdir(exist_ok=True)
    copytree(WEIGHTS / "intrinsics", folder / "library")
    world = World(3, "test")
    write_rows(folder / "rows.jsonl", [row(case, number) for number, case in enumerate(safety(world, count, never))])
    rewrites = [row(case, number) for number, case in enumerate(query_rewrite(world, 8, never))]
    write_rows(folder / "rewrites.jsonl", rewrites)
    sure = [row(case, number) for number, case in enumerate(safety(world, 20, never))]
    for number, each in enumerate(sure):
        each |= {"completion": "9" if number % 3 else "0", "outcome": float(number % 3 > 0)}
    write_rows(folder / "sure.jsonl", sure)
    (folder / "spec.toml").write_text(SPEC)
    return folder / "spec.toml"


def never(_: Any) -> list[str]:
    raise AssertionError("no answers of the base are wanted")


def row(case: Case, number: int) -> dict[str, Any]:
    """A case as a line of a file."""
    messages = [{"role": turn.role, "content": turn.text} for turn in case.turns if turn.role != "documents"]
    documents = [turn.text for turn in case.turns if turn.role == "documents"]
    return {
        "messages": messages,
        "documents": documents,
        "completion": case.answer,
        "source": case.group,
        "group": number,
    }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))

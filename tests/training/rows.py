"""Labelled rows that are learnt in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")

ENDS = {"right": "Y", "it is": "Y", "wrong": "N", "no": "N"}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows whose label is told by how the question ends."""
    random = Random(seed)
    out = []
    for number in range(count):
        word, end = random.choice(WORDS), random.choice(list(ENDS))
        messages = [{"role": "user", "content": f"Is the number {word}, or what is {word}? {end}"}]
        row = {"messages": messages, "completion": ENDS[end], "source": word, "group": f"{seed}-{number}"}
        out.append(row)
    return out


def write(path: Path, some: Iterable[dict[str, Any]]) -> Path:
    """Rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in some))
    return path


SPEC = """
base = "mini"
library = "library"
data = "data"
precision = "float32"

[all]
answers = { Y = 1.0, N = 0.0 }
train = "train.jsonl"
validation = "validation.jsonl"
batch = 16
rate = 5e-3
warmup = 2
seed = 7

[intrinsic.even]
invocation = "<|safety|>"
epochs = 6
"""


def small(folder: Path, spec: str = SPEC, count: int = 96) -> Path:
    """A spec and its rows in a folder; the spec's path."""
    write(folder / "data" / "train.jsonl", rows(count, 1))
    write(folder / "data" / "validation.jsonl", rows(32, 2))
    (folder / "spec.toml").write_text(spec)
    return folder / "spec.toml"

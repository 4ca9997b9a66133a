"""The state of a training on disk, and its log: a run that is killed at any moment goes on from the last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def write_state(path: Path, state: dict[str, Any]) -> None:
    """A run that is killed while it writes keeps the last state."""
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """The state, None where there is none yet. Nothing but tensors and plain data is read."""
    return torch.load(path, weights_only=True) if path.exists() else None


def log(folder: Path, **facts: object) -> None:
    """Print a line of facts and append it to the folder's log."""
    line = json.dumps(facts)
    print(line, flush=True)
    with (folder / "log.jsonl").open("a") as file:
        file.write(line + "\n")

"""Intrinsics of a library in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alora_flow.intrinsics.calibration import Calibration
from alora_flow.intrinsics.declaration import declaration
from alora_flow.intrinsics.io_yaml import Placeholder
from alora_flow.intrinsics.shapes import shape_of, shown
from alora_flow.planning.offering import Offering, settings_of
from alora_flow.views.drawing import tidy
from alora_flow.views.plan_json import amount_json


def offering_json(name: str, reference: str, base: str, found: Offering) -> dict[str, Any]:
    """All that `alora-flow intrinsics show` says of one. `reference`: by what a flow file finds it."""
    contract = found.contract
    io_yaml, adapter = contract.io_yaml, contract.adapter
    return {
        "name": name,
        "base": base,
        "folder": str(adapter.folder),
        "adapter": "activated" if adapter.activated else "plain",
        "rank": adapter.rank,
        "invocation": None if not contract.sequence else {"tokens": list(contract.sequence), "active": contract.offset},
        "active": found.active,
        "declaration": None if io_yaml is None else declaration(name, reference, io_yaml),
        "arguments": [] if io_yaml is None else list(io_yaml.arguments),
        "instruction": None if io_yaml is None or io_yaml.instruction is None else _instruction(io_yaml.instruction),
        "writes": _writes(found),
        "transformations": [] if io_yaml is None else [rule.kind for rule in io_yaml.rules],
        "gives": None if io_yaml is None else shown(io_yaml.shape),
        "settings": dict(settings_of(contract)),
        "calibration": None if contract.calibration is None else _calibration(contract.calibration),
        "shares": found.shares,
        "computes": amount_json(found.computes),
        "writes_at_most": found.writes_at_most,
    }


def _writes(found: Offering) -> str | None:
    io_yaml = found.contract.io_yaml
    if io_yaml is None:
        return None
    if io_yaml.categories:
        return " | ".join(f'"{name}"' for name in io_yaml.categories)
    return "text" if io_yaml.schema is None else shown(shape_of(io_yaml.schema))


def _calibration(found: Calibration) -> dict[str, Any]:
    parts = {"temperature": found.temperature, "threshold": found.threshold}
    return {"says": found.said, **parts, "fitted": found.fitted}


def _instruction(parts: Sequence[str | Placeholder]) -> str:
    return "".join(f"{{{part.name}}}" if isinstance(part, Placeholder) else part for part in parts)


def offering_text(said: Mapping[str, Any], computes: str) -> str:
    """The same for people."""
    rows = [
        ("adapter", f"{said['folder']}, {said['adapter']}, rank {said['rank']}"),
        ("active", said["active"]),
        ("instruction", said["instruction"]),
        ("writes", said["writes"] and f"{said['writes']}, at most {_tokens(said['writes_at_most'])}"),
        ("then", ", ".join(said["transformations"])),
        ("gives", said["gives"]),
        (
            "calibrated",
            said["calibration"] and "\n".join(filter(None, map(said["calibration"].get, ("says", "fitted")))),
        ),
        ("settings", ", ".join(f"{name} {value}" for name, value in said["settings"].items())),
        ("shares", said["shares"]),
        ("computes", f"{_tokens(computes)} a call, where the thread is in the cache, and the answer"),
    ]
    width = max(len(label) for label, text in rows if text)
    lines = [f"{label:<{width}}  {_indented(str(text), width + 2)}" for label, text in rows if text]
    why = "gives a field that no record can have" if said["gives"] else "has no io.yaml"
    head = said["declaration"] or f"'{said['name']}' {why}: declare it in full, with adapter, emits and value"
    return "\n".join([*map(tidy, head.splitlines()), "", *lines]) + "\n"


def _tokens(count: object) -> str:
    return f"{count} token{'' if str(count) == '1' else 's'}"


def _indented(text: str, width: int) -> str:
    """Further lines behind the label, and nothing that a terminal would obey."""
    return f"\n{' ' * width}".join(map(tidy, text.strip().splitlines()))


def listing(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A line each."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("intrinsic", "base", "adapter", "gives"):
        table.add_column(column, overflow="fold")
    for row in rows:
        told = f"wrong: {row['problem']}" if row["problem"] else row["gives"] or "no io.yaml: declare it in full"
        arguments = f"({', '.join(row['arguments'])})" if row["arguments"] else ""
        cells = (f"{row['name']}{arguments}", row["base"], row["adapter"], told)
        table.add_row(*(Text(tidy(cell)) for cell in cells))
    with console.capture() as capture:
        console.print(table)
    console.file.write("".join(f"{line.rstrip()}\n" for line in capture.get().strip("\n").splitlines()))

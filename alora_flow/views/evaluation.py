"""What an evaluation found: tables for the terminal, and JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alora_flow.training.bootstrap import Estimate, Estimates
from alora_flow.training.evaluating import Evaluation
from alora_flow.training.measuring import Measured
from alora_flow.views.drawing import tidy

NAMES = {
    "error": "error",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "mae": "MAE",
    "brier": "Brier",
    "brier_of_constant": "Brier of the best constant",
    "ece": "ECE",
    "log_probability": "log-probability of a token",
}
OF_PARTS = ("error", "auroc", "mae", "brier", "log_probability")
"""What is shown of each file and source."""

SHARES = ("error",)
"""Figures that are told as percentages."""


def evaluation_text(found: Evaluation) -> str:
    """One intrinsic, for people."""
    own = found.own
    lines = [f"{found.name} on {found.base}, {found.split}: {_counted(own)}"]
    if found.calibration is not None:
        lines.append(f"calibrated: {found.calibration.said}")
    if found.difference is not None:
        lines.append(f"by PEFT; the engine differs by {found.difference:.1e} at most")
    if found.prompt is not None:
        lines.append(f'the best plain prompt: "{tidy(found.prompt)}"')
    return "\n".join(lines) + "\n\n" + tables(found.systems)


def tables(systems: Mapping[str, Measured]) -> str:
    """Figures of all systems beside each other, then those of the first for each file and source."""
    own = next(iter(systems.values()))
    names = [name for name in NAMES if any(name in one.figures for one in systems.values())]
    compared = _table(
        ["", *systems],
        [[NAMES[name], *(_cell(name, one.figures.get(name)) for one in systems.values())] for name in names],
    )
    if not own.parts:
        return compared
    every = [figures for _, figures in own.parts.values()]
    shown = [name for name in OF_PARTS if any(name in each and isfinite(each[name].value) for each in every)]
    sources = _table(
        ["source", "rows", *(NAMES[name] for name in shown)],
        [
            [source or "(none)", str(rows), *(_cell(name, figures.get(name)) for name in shown)]
            for source, (rows, figures) in own.parts.items()
        ],
    )
    return f"{compared}\n{sources}"


def _counted(own: Measured) -> str:
    groups = "" if own.groups == own.rows else f" in {own.groups} groups"
    return f"{own.rows} rows{groups}, figures with 95 % intervals"


def _cell(name: str, found: Estimate | None) -> str:
    if found is None or not isfinite(found.value):
        return "–"
    return figure_text(name, found.value, found.low, found.high)


def figure_text(name: str, value: float, low: float, high: float) -> str:
    """A figure with its interval."""
    if name in SHARES:
        return f"{100 * value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for column in head:
        table.add_column(Text(tidy(column)), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(tidy(cell)) for cell in row))
    out = io.StringIO()
    Console(file=out, width=1000).print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()[1:-1])


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """The same as JSON: of all systems all figures, for each file and source, too. What is not defined is null."""
    decides = found.calibration
    return {
        "intrinsic": found.name,
        "base": found.base,
        "split": found.split,
        "folder": str(found.folder),
        "calibration": decides and {"temperature": decides.temperature, "threshold": decides.threshold},
        "plain_prompt": found.prompt,
        "peft_difference": found.difference,
        "systems": {name: measured_json(one) for name, one in found.systems.items()},
    }


def measured_json(one: Measured) -> dict[str, Any]:
    """One system's figures."""
    return {
        "rows": one.rows,
        "groups": one.groups,
        "figures": _figures(one.figures),
        "parts": {name: {"rows": rows, "figures": _figures(own)} for name, (rows, own) in one.parts.items()},
        "reliability": [asdict(each) for each in one.reliability],
    }


def _figures(figures: Estimates) -> dict[str, Any]:
    return {
        name: {part: value if isfinite(value) else None for part, value in asdict(each).items()}
        for name, each in figures.items()
    }

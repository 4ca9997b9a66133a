"""A run's result, statistics and trace: for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alora_flow.execution.trace import CallTrace, Trace
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.module import Result
from alora_flow.values.models import adapter


def value_json(flow: FlowDecl, value: Any) -> Any:
    """A flow's result as JSON."""
    return adapter(flow.result).dump_python(value, mode="json")


def result_json(flow: FlowDecl, result: Result) -> dict[str, Any]:
    """What `run --json` prints."""
    return {
        "flow": flow.name,
        "value": value_json(flow, result.value),
        "stats": asdict(result.stats),
        "nodes": [_call_json(call) for call in result.trace.calls],
    }


def _call_json(call: CallTrace) -> dict[str, Any]:
    return {
        "id": call.id,
        "kind": call.kind,
        "predicted": call.predicted and asdict(call.predicted),
        "actual": call.actual and asdict(call.actual),
    }


def show_result(console: Console, flow: FlowDecl, result: Result) -> None:
    """The typed result: a record by its fields, anything else as it is."""
    shown = value_json(flow, result.value)
    if not isinstance(result.value, BaseModel):
        console.print(
            shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, indent=2), markup=False
        )
        return
    console.print(Text(type(result.value).__name__, style="bold"))
    for name, item in shown.items():
        text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        console.print(Text.assemble((f"  {name}: ", "dim"), text), soft_wrap=True)


def show_stats(console: Console, trace: Trace) -> None:
    """Per call what was planned and what was measured, then the totals."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("call")
    for title in ("reused", "prefilled", "generated"):
        table.add_column(title, justify="right")
    table.add_column("plan")
    for call in trace.calls:
        assert call.actual is not None
        table.add_row(call.id, str(call.actual.reused), str(call.actual.prefilled), str(call.generated), _kept(call))
    stats = trace.stats
    table.add_row(
        "all", str(stats.reused), str(stats.prefilled), str(stats.generated), f"{stats.seconds:.2f} s", style="bold"
    )
    console.print(table)


def _kept(call: CallTrace) -> str:
    if call.predicted is None:
        return "?"
    return "kept" if call.predicted == call.actual else f"said {call.predicted}"

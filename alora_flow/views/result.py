"""A run's result, statistics and trace: for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alora_flow.execution.trace import NodeTrace, Tokens, Trace
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.module import Result
from alora_flow.values.data import Distribution, Reply, chat_of_thread
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
        "nodes": [_call_json(node) for node in result.trace.calls],
    }


def _call_json(node: NodeTrace) -> dict[str, Any]:
    return {
        "id": node.id,
        "kind": node.kind,
        "predicted": _tokens_json(node.predicted),
        "actual": _tokens_json(node.actual),
    }


def _tokens_json(tokens: Tokens | None) -> dict[str, int] | None:
    return None if tokens is None else asdict(tokens)


def trace_json(trace: Trace) -> dict[str, Any]:
    """What `run --trace FILE` writes: every node, those that were skipped too."""
    return {
        "seconds": trace.seconds,
        "nodes": [
            {
                **_call_json(node),
                "status": node.status,
                "began": node.began,
                "ended": node.ended,
                "generated": node.generated,
                "forced": node.forced,
                "value": plain(node.value),
            }
            for node in trace.nodes
        ],
    }


def plain(value: Any) -> Any:
    """Any value of a run as JSON: threads as turns, distributions as outcome and probability."""
    match value:
        case Reply(text=text):
            return text
        case Distribution(outcomes=outcomes, probabilities=probabilities):
            return [{"outcome": plain(o), "p": p} for o, p in zip(outcomes, probabilities, strict=True)]
        case BaseModel():
            return value.model_dump(mode="json")
        case tuple():
            return [turn.model_dump(mode="json") for turn in chat_of_thread(value)]
        case list():
            return [plain(item) for item in value]
    return getattr(value, "value", value)


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
    for node in trace.calls:
        assert node.actual is not None
        kept = "kept" if node.predicted == node.actual else f"said {node.predicted}"
        table.add_row(node.id, str(node.actual.reused), str(node.actual.prefilled), str(node.generated), kept)
    stats = trace.stats
    table.add_row(
        "all", str(stats.reused), str(stats.prefilled), str(stats.generated), f"{stats.seconds:.2f} s", style="bold"
    )
    console.print(table)

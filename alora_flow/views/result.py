"""A run's result, statistics and trace: for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from alora_flow.execution.events import Tokens
from alora_flow.execution.trace import CallTrace, Trace
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.language.report.render import harmless
from alora_flow.module import Result
from alora_flow.values.models import adapter
from alora_flow.views.drawing import tidy


def value_json(flow: FlowDecl, value: Any) -> Any:
    """A flow's result as JSON."""
    return adapter(flow.result).dump_python(value, mode="json")


def result_json(flow: FlowDecl, result: Result[Any]) -> dict[str, Any]:
    """What `run --json` prints."""
    return {"flow": flow.name, "value": value_json(flow, result.value), **_trace_json(result.trace)}


def failure_json(flow: FlowDecl, trace: Trace, said: str) -> dict[str, Any]:
    """What it prints of a run that failed or was interrupted: why, and what was computed until then."""
    end = trace.end
    error = {"message": said, "places": list(end.places) if end else [], "traceback": end and end.traceback}
    return {"flow": flow.name, "error": error, **_trace_json(trace)}


def _trace_json(trace: Trace) -> dict[str, Any]:
    return {
        "seed": trace.seed,
        "stats": asdict(trace.stats),
        "nodes": [_call_json(call) for call in trace.calls],
        "failures": [{"id": node.id, "error": node.error} for node in trace.handled],
    }


def _call_json(call: CallTrace) -> dict[str, Any]:
    return {
        "id": call.id,
        "kind": call.kind,
        "predicted": call.predicted and _tokens(call.predicted),
        "actual": call.actual and _tokens(call.actual),
    }


def _tokens(tokens: Tokens) -> dict[str, Any]:
    """Of what is exact nothing more is said."""
    counts: dict[str, Any] = {"reused": tokens.reused, "prefilled": tokens.prefilled}
    return {**counts, "at_most": True} if tokens.at_most else counts


def result_text(flow: FlowDecl, value: Any, terminal: bool) -> str:
    """A result for stdout: a string as it is, everything else as JSON. On a terminal a string's control characters are
    escaped, so that no text can move the cursor or colour what stands around it."""
    shown = value_json(flow, value)
    if not isinstance(shown, str):
        return json.dumps(shown, ensure_ascii=False, indent=2)
    return harmless(shown) if terminal else shown


def show_stats(console: Console, trace: Trace) -> None:
    """Per call what was planned and what was measured, then the totals, and what failed and was handled."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("call")
    for title in ("reused", "prefilled", "generated"):
        table.add_column(title, justify="right")
    table.add_column("plan")
    for call in trace.calls:
        assert call.actual is not None
        table.add_row(
            "  " * call.depth + call.id,
            str(call.actual.reused),
            str(call.actual.prefilled),
            str(call.generated),
            _kept(call),
        )
    stats = trace.stats
    table.add_row(
        "all", str(stats.reused), str(stats.prefilled), str(stats.generated), f"{stats.seconds:.2f} s", style="bold"
    )
    console.print(table)
    for node in trace.handled:
        said = f"{node.id} failed, which the flow handles: {tidy(node.error or '')}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    if trace.sampled:
        console.print(f"seed {trace.seed} (--seed {trace.seed} draws the same numbers)", highlight=False)


def _kept(call: CallTrace) -> str:
    if call.predicted is None:
        return "?"
    kept = "kept, at most" if call.predicted.at_most else "kept"
    return kept if call.predicted.kept(call.actual) else f"said {call.predicted}"

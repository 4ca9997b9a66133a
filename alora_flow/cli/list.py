"""`alora-flow list FILE`: what a flow file can run. Needs no model."""

from __future__ import annotations

import json
from typing import Any

import click

from alora_flow.cli.completion import complete_file
from alora_flow.cli.files import find_flow_file
from alora_flow.language.meaning.program import FlowDecl
from alora_flow.planning.compilation import Compilation


@click.command("list")
@click.argument("file", shell_complete=complete_file)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of flows with their parameters.")
def command(file: str, as_json: bool) -> None:
    """List the flows of FILE with what they take and give, and the first line of what they are for."""
    compilation = Compilation(find_flow_file(file))
    flows = [flow for flow in compilation.program.flows.values() if not flow.imported]
    docs = [compilation.doc(flow) for flow in flows]
    if as_json:
        listed = [_described(flow, doc) for flow, doc in zip(flows, docs, strict=True)]
        click.echo(json.dumps(listed, ensure_ascii=False, indent=2))
        return
    for flow, doc in zip(flows, docs, strict=True):
        click.echo(_signature(flow))
        if doc:
            click.echo(f"  {doc.strip().splitlines()[0]}")


def _signature(flow: FlowDecl) -> str:
    parameters = ", ".join(f"{each.name}: {each.type}{each.said_default}" for each in flow.parameters)
    return f"{flow.name}({parameters}) -> {flow.result}"


def _described(flow: FlowDecl, doc: str) -> dict[str, Any]:
    parameters = [
        {"name": each.name, "type": str(each.type), "required": each.default is None} for each in flow.parameters
    ]
    return {"name": flow.name, "parameters": parameters, "result": str(flow.result), "doc": doc}

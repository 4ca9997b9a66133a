"""A plan as JSON. This is its documented form:

    {"flow": …, "model": …,
     "graph": {"nodes": [{"id", "kind", "does", "guards": [{"node", "holds"}], "inside": [INSIDE]}],
               "edges": [{"from", "to", "kind": "data" | "thread"}]},
     "calls": [{"id", "kind", "extends", "reused": AMOUNT, "prefilled": AMOUNT, "generated_at_most": int,
                "adapter": str | null, "active_from": AMOUNT | null, "own": OWN | null}],
     "total": {"reused": AMOUNT, "prefilled": AMOUNT, "generated_at_most": int},
     "instead": {"no_reuse": {"prefilled": AMOUNT, "saved": share | null, "saved_at_least": share | null},
                 "plain_lora": {the same}}}

INSIDE is what may be called in the middle of a node's answer: {"name", "kind": "invoke" | "tool", "inside": [INSIDE]}.

OWN is what the model may call itself, in tokens: {"budget": int, "calls": [{"name", "adapter": str | null,
"prefilled", "generated", "returned": AMOUNT}], "at_most": {"prefilled": AMOUNT, "generated"}, "expected": {the same}};
expected: each called once. A tool has no adapter.

AMOUNT is {"tokens": int, "holes": [{"of": str, "times": int, "at_most": int | null}]}: `tokens` known ones and, for
each hole, `times` the length of what is `of` it. No holes: the number is exact. `saved` is the part of the prefilled
tokens that the plan saves (0 to 1; negative where it costs more), null where holes leave it open; `saved_at_least` is
what it saves however long the holes turn out. `guards` are all that must hold for a node to run; of those of a merge,
select or collect the ones of a single way.
"""

from __future__ import annotations

from typing import Any

from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.prefix.amounts import Amount
from alora_flow.planning.prefix.own import PlannedOwnCalls
from alora_flow.planning.prefix.plan import PlannedCall, PrefixPlan
from alora_flow.views.amounts import least_share, saved_share
from alora_flow.views.drawing import InnerBox, detail, extended, inner_boxes


def plan_json(graph: FlowGraph, plan: PrefixPlan, model: str) -> dict[str, Any]:
    """The whole plan."""
    return {
        "flow": graph.flow.name,
        "model": model,
        "graph": graph_json(graph),
        "calls": [_call(call) for call in plan.calls],
        "total": {
            "reused": amount_json(plan.reused),
            "prefilled": amount_json(plan.prefilled),
            "generated_at_most": plan.generated_at_most,
        },
        "instead": {name: _instead(getattr(plan, name), plan) for name in ("no_reuse", "plain_lora")},
    }


def graph_json(graph: FlowGraph) -> dict[str, Any]:
    """Nodes in the order of the source; edges by their target."""
    nodes = list(graph.nodes.values())
    return {
        "nodes": [
            {
                "id": node.id,
                "kind": node.kind,
                "does": detail(node),
                "guards": _guards(node),
                "inside": [_inside(box) for box in inner_boxes(node.operation)],
            }
            for node in nodes
        ],
        "edges": [{"from": source, "to": node.id, "kind": kind} for node in nodes for source, kind in g.reads(node)],
    }


def _inside(box: InnerBox) -> dict[str, Any]:
    return {"name": box.label, "kind": box.kind, "inside": [_inside(inner) for inner in box.inner]}


def amount_json(amount: Amount) -> dict[str, Any]:
    """One AMOUNT."""
    holes = [{"of": hole.source, "times": count, "at_most": hole.at_most} for hole, count in amount.holes.items()]
    return {"tokens": amount.tokens, "holes": holes}


def _guards(node: g.Node) -> list[dict[str, Any]]:
    return [{"node": guard.condition, "holds": guard.holds} for guard in g.guards(node)]


def _call(call: PlannedCall) -> dict[str, Any]:
    return {
        "id": call.node.id,
        "kind": call.node.kind,
        "extends": extended(call),
        "reused": amount_json(call.reused),
        "prefilled": amount_json(call.prefilled),
        "generated_at_most": call.generated_at_most,
        "adapter": call.adapter,
        "active_from": None if call.active_from is None else amount_json(call.active_from),
        "own": call.own and _own(call.own),
    }


def _own(own: PlannedOwnCalls) -> dict[str, Any]:
    prefilled, generated = own.expected
    return {
        "budget": own.budget,
        "calls": [{**vars(call), "returned": amount_json(call.returned)} for call in own.calls],
        "at_most": {"prefilled": amount_json(own.prefilled_at_most), "generated": own.generated_at_most},
        "expected": {"prefilled": amount_json(prefilled), "generated": generated},
    }


def _instead(instead: Amount, plan: PrefixPlan) -> dict[str, Any]:
    shares = {"saved": saved_share, "saved_at_least": least_share}
    saved = {name: share(instead, plan.prefilled) for name, share in shares.items()}
    return {
        "prefilled": amount_json(instead),
        **{name: None if share is None else round(share, 4) for name, share in saved.items()},
    }

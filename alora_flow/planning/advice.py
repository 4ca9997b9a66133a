"""What a model's files say about a flow that its text alone can't: warnings of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.intrinsics.contract import Contract
from alora_flow.language.diagnostics import Diagnostic
from alora_flow.planning.graph import FlowGraph, Invoke
from alora_flow.planning.prompts import Setup


def advise(graph: FlowGraph, setup: Setup) -> tuple[Diagnostic, ...]:
    """A warning for each intrinsic whose invocation the tokenizer would write otherwise inside a prompt."""
    called = {node.operation.intrinsic.key: node for node in graph.nodes.values() if isinstance(node.operation, Invoke)}
    return tuple(
        Diagnostic("W0901", message, node.span, "train the adapter on its own tokens, or invoke it by a control token")
        for key, node in called.items()
        for message in _tokenised_otherwise(setup.contracts[key], setup)
    )


def _tokenised_otherwise(contract: Contract, setup: Setup) -> Iterator[str]:
    """An adapter trained on whole texts has then seen other tokens than those that the call appends."""
    tokenizer, frames = setup.prompter.tokenizer, setup.prompter.template.frames(("user",))
    closing, invocation = frames[-1].after, contract.invocation
    together = tokenizer.encode_control(closing + tokenizer.spell(invocation))
    apart = tokenizer.encode_control(closing) + invocation
    if together != apart:
        yield (
            f"'{contract.intrinsic.name}' is invoked by the tokens {list(invocation)}, "
            f"but behind '{closing}' its text is {list(together[len(apart) - len(invocation) :])}"
        )

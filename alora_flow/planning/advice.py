"""What a model's files say about a flow that its text alone can't: warnings of the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alora_flow.intrinsics.contract import Contract
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.planning.graph.nodes import Generate, Invoke
from alora_flow.planning.prefix.amounts import Amount, amount, total
from alora_flow.planning.prompts import Setup
from alora_flow.planning.schedule import Schedule
from alora_flow.prompts.contents import Hole, Symbol, Thread, Turn


def advise(made: Schedule) -> tuple[Diagnostic, ...]:
    """All warnings of the table below."""
    return tuple(found for advice in ADVICE for found in advice(made))


def _rewriting(made: Schedule) -> Iterator[Diagnostic]:
    """For a chat template that costs the flow reuse, at the first call."""
    template = made.setup.prompter.template
    if template.rewriting and made.steps:
        message = f"the chat template of {made.setup.model.name} {template.rewriting}"
        again = _computed_again(made)
        cost = f": {again} tokens of this flow" if again != Amount() else ""
        help = f"nothing goes wrong; what it rewrites is computed again{cost}"
        yield Diagnostic("W0902", message, made.steps[0].call.node.span, help)


def _computed_again(made: Schedule) -> Amount:
    """What calls would share of the longest thread before them that they go on from, if it stayed as it was."""
    before: dict[Thread, tuple[Symbol, ...]] = {}
    lost = []
    for call in (step.call for step in made.steps):
        lengths = [length for length in range(len(call.thread), 0, -1) if call.thread[:length] in before]
        if lengths:
            earlier = before[call.thread[: lengths[0]]]
            pairs = zip(earlier, call.prompt.symbols, strict=False)
            same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(earlier))
            lost.append(amount(earlier[same:]))
        before[call.thread] = made.setup.prompter.thread_symbols(call.thread)
        if isinstance(call.node.operation, Generate) and call.node.operation.as_type is None:
            reply = Hole(call.node.id, call.form.most_tokens)
            before[(*call.thread, Turn("assistant", (reply,)))] = (*call.prompt.symbols, reply)
    return total(lost)


def _forms(made: Schedule) -> Iterator[Diagnostic]:
    """For all that the template has no form for, at the first call."""
    for note in made.setup.prompter.notes if made.steps else ():
        message = f"the chat template of {made.setup.model.name} {note}"
        yield Diagnostic(
            "W0903", message, made.steps[0].call.node.span, "docs/errors.md says how it is written instead"
        )


def _invocations(made: Schedule) -> Iterator[Diagnostic]:
    """For each intrinsic whose invocation the tokenizer would write otherwise inside a prompt."""
    graph, setup = made.graph, made.setup
    called = {node.operation.intrinsic.key: node for node in graph.nodes.values() if isinstance(node.operation, Invoke)}
    for key, node in called.items():
        for message in _tokenised_otherwise(setup.contracts[key], setup):
            help = "train the adapter on its own tokens, or invoke it by a control token"
            yield Diagnostic("W0901", message, node.span, help)


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


ADVICE: list[Callable[[Schedule], Iterator[Diagnostic]]] = [_rewriting, _forms, _invocations]

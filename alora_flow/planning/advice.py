"""What a model's files say about a flow that its text alone can't: warnings of the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from alora_flow.language.meaning.program import ToolDecl
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.planning.graph.nodes import Generate, Invoke
from alora_flow.planning.prefix.amounts import Amount, amount, total
from alora_flow.planning.prefix.ledger import Ledger
from alora_flow.planning.prefix.plan import entered
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.planning.room import HELP, too_long
from alora_flow.planning.schedule import Schedule, reply_turn
from alora_flow.planning.setup import Setup
from alora_flow.prompts.contents import Hole, Symbol, Thread
from alora_flow.prompts.results import result_thread

if TYPE_CHECKING:
    from alora_flow.intrinsics.contract import Contract


def advise(made: Schedule) -> tuple[Diagnostic, ...]:
    """All warnings of the table below. Of what calls no model there are none, and no model is looked for."""
    return tuple(found for advice in ADVICE for found in advice(made)) if made.steps else ()


def _rewriting(made: Schedule) -> Iterator[Diagnostic]:
    """For a chat template that costs the flow reuse, at the first call."""
    prompter = made.setup.prompter
    found = (prompter.rewriting(thread, answered) for thread, answered in _threads(made))
    rewriting = next(filter(None, found), None)
    if rewriting:
        message = f"the chat template of {made.setup.model.name} {rewriting}"
        again = _computed_again(made)
        cost = f": {again} tokens of this flow" if again != Amount() else ""
        help = f"nothing goes wrong; what it rewrites is computed again{cost}"
        yield Diagnostic("W0902", message, made.steps[0].call.node.span, help)


def _threads(made: Schedule) -> Iterator[tuple[Thread, bool]]:
    """The threads that calls read, each with whether what is written on it may be gone on from."""
    seen = set[tuple[Thread, bool]]()
    for call in (step.call for step in made.steps):
        read = [(call.thread, isinstance(call.node.operation, Generate))]
        for one in call.own.invocables if call.own else ():
            if isinstance(one.called, ToolDecl):
                read.append((result_thread(call.thread, Hole("call"), Hole("result"), one.asking), True))
        yield from (each for each in read if each not in seen)
        seen.update(read)


def _computed_again(made: Schedule) -> Amount:
    """What calls would share of the longest thread before them that they go on from, if it stayed as it was."""
    before: dict[Thread, tuple[Symbol, ...]] = {}
    lost = []
    for call in (step.call for step in made.steps):
        longest = next((beginning for beginning in call.thread.beginnings() if beginning in before), None)
        if longest is not None:
            earlier = before[longest]
            pairs = zip(earlier, call.prompt.symbols, strict=False)
            same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(earlier))
            lost.append(amount(earlier[same:]))
        before[call.thread] = made.setup.prompter.thread_symbols(call.thread)
        if isinstance(call.node.operation, Generate) and call.node.operation.as_type is None:
            before[call.thread.then(reply_turn(call))] = (*call.prompt.symbols, call.reply)
    return total(lost)


def _forms(made: Schedule) -> Iterator[Diagnostic]:
    """For all that the template has no form for, at the first call."""
    notes = (note for thread, _ in _threads(made) for note in made.setup.prompter.notes(thread))
    for note in dict.fromkeys(notes):
        message = f"the chat template of {made.setup.model.name} {note}"
        yield Diagnostic(
            "W0903", message, made.steps[0].call.node.span, "docs/errors.md says how it is written instead"
        )


def _invocations(made: Schedule) -> Iterator[Diagnostic]:
    """For each intrinsic whose invocation the tokenizer would write otherwise inside a prompt."""
    for call in _intrinsics(made):
        for message in _tokenised_otherwise(call, made.setup):
            help = "train the adapter on its own tokens, or invoke it by a control token"
            yield Diagnostic("W0901", message, call.node.span, help)


def _intrinsics(made: Schedule) -> list[PromptedCall]:
    """The first call of each."""
    calls = (step.call for step in made.steps)
    named = ((call.node.operation.intrinsic.key, call) for call in calls if isinstance(call.node.operation, Invoke))
    found: dict[str, PromptedCall] = {}
    for key, call in named:
        found.setdefault(key, call)
    return list(found.values())


def _tokenised_otherwise(call: PromptedCall, setup: Setup) -> Iterator[str]:
    """An adapter trained on whole texts has then seen other tokens than those that the call appends."""
    assert isinstance(call.node.operation, Invoke)
    intrinsic, invocation = call.node.operation.intrinsic, setup.contracts[call.node.operation.intrinsic.key].invocation
    tokens = tuple(piece for piece in invocation if isinstance(piece, int))
    if not tokens or call.prompt.added[-len(invocation) :] != invocation:
        return  # nothing is appended, or arguments stand in it
    tokenizer, frames = setup.prompter.tokenizer, setup.prompter.template.frames(("user",))
    closing = frames[-1].after
    together = tokenizer.encode_control(closing + tokenizer.spell(tokens))
    apart = tokenizer.encode_control(closing) + tokens
    if together != apart:
        yield (
            f"'{intrinsic.name}' is invoked by the tokens {list(tokens)}, "
            f"but behind '{closing}' its text is {list(together[len(apart) - len(tokens) :])}"
        )


def _own_calls(made: Schedule) -> Iterator[Diagnostic]:
    """For all that a model may call by ordinary text; but for the form that the model's own chat template has for calls
    of tools, and for text beside control tokens, which nothing else is."""
    seen = set[str]()
    for call in (step.call for step in made.steps):
        yield from _begun_alike(call)
        for one in call.own.invocables if call.own else ():
            tokenizer = made.setup.prompter.tokenizer
            key, control = one.key, [tokenizer.is_control(token) for token in one.tokens]
            marked = isinstance(one.called, ToolDecl) and (one.called.invoke is None or any(control))
            if all(control) or key in seen or marked:
                continue
            seen.add(key)
            said = f"'{one.called.name}' is invoked by {tokenizer.spell(one.tokens)!r}, which"
            if any(control) and one.contract is not None:
                message = f"{said} is no control token alone: it is called where the model writes exactly these tokens"
            else:
                message = f"{said} is ordinary text to {made.setup.model.name}: whenever the model writes it, it calls"
            yield Diagnostic("W0906", message, call.node.span, "invoke it by a control token of the model's own")


def _begun_alike(call: PromptedCall) -> Iterator[Diagnostic]:
    """For two that a model may call, where one invocation begins like the other, and the file does not write both."""
    listed = call.own.invocables if call.own else ()
    for one, other in ((one, other) for one in listed for other in listed if one is not other):
        told = one.called.invoke is not None and other.called.invoke is not None
        if not told and other.tokens[: len(one.tokens)] == one.tokens:
            message = f"the invocation of '{other.called.name}' begins with that of '{one.called.name}'"
            help = "the longest that is written counts; give each one that does not begin like another"
            yield Diagnostic("W0805", message, call.node.span, help)


def _unshared(made: Schedule) -> Iterator[Diagnostic]:
    """For each intrinsic whose calls can't share the thread that they read: with what that costs."""
    contracts = made.setup.contracts.values()
    if all(contract.adapter.activated and not contract.rewrites for contract in contracts):
        return
    shared, ledger = Ledger(), Ledger()
    lost: dict[str, list[Amount]] = {}
    first: dict[str, PromptedCall] = {}
    for call in (step.call for step in made.steps):
        prompt, contract = call.prompt, call.prompt.contract
        plainly = Prompt(made.setup.prompter.writing(call.thread if call.named is None else call.named), ())
        could, found = shared.known(plainly), entered(ledger, call, prompt)
        if contract is not None and _rewritten(prompt, plainly):
            first.setdefault(contract.intrinsic.key, call)
            lost.setdefault(contract.intrinsic.key, []).append(amount(plainly.symbols[min(found, could) : could]))
        entered(shared, call, prompt)
        shared.enter(plainly)
    for key, call in first.items():
        contract = made.setup.contracts[key]
        why = "is a plain LoRA, active from the first token" if not contract.adapter.activated else _why(contract)
        message = f"'{contract.intrinsic.name}' {why}, so that what it reads is not the thread that the cache holds"
        cost = total(lost[key])
        again = f"{cost} tokens that the cache holds are computed again for it"
        help = again if cost != Amount() else "in this flow that costs nothing"
        yield Diagnostic("W0904", message, call.node.span, help)


def _too_long(made: Schedule) -> Iterator[Diagnostic]:
    """For each call that no run on this model can make."""
    for call, why in too_long(made, made.setup.positions if made.steps else None):
        yield Diagnostic("W0905", why, call.node.span, HELP)


def _rewritten(prompt: Prompt, thread: Prompt) -> bool:
    """Does a call read a thread as other tokens than those that the cache holds of it?"""
    adapted = prompt.active_from is not None and prompt.active_from < len(thread)
    return adapted or prompt.symbols[: len(thread)] != thread.symbols


def _why(contract: Contract) -> str:
    assert contract.io_yaml is not None
    whats = [("numbers sentences", contract.io_yaml.marks), ("puts documents first", contract.io_yaml.documents)]
    return " and ".join(what for what, there in whats if there)


ADVICE: list[Callable[[Schedule], Iterator[Diagnostic]]] = [
    _rewriting,
    _forms,
    _invocations,
    _own_calls,
    _unshared,
    _too_long,
]

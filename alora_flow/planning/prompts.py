"""What every model call of a graph sends: its prompt, and from which token its adapter is active.

The same walk serves the plan and the run: what is known is tokens, what is not is a hole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alora_flow.errors import BadInput
from alora_flow.intrinsics.contract import Contract, choices_of
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.evaluate import NotKnown, Values, evaluate, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Node, Path
from alora_flow.prompts.thread import Hole, Prompter, Symbol, Thread, Turn
from alora_flow.values.data import Reply

DEFAULT_MAX_TOKENS = 256
"""For a `generate` that does not say `max_tokens`."""


@dataclass(frozen=True)
class Setup:
    """What a graph needs to know of the model that it runs on; `contracts` by the intrinsic's key."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]


@dataclass(frozen=True)
class Prompt:
    """A call's prompt. The adapter of `contract` is active from symbol `active_from` on; None: the base model."""

    symbols: tuple[Symbol, ...]
    contract: Contract | None = None
    active_from: int | None = None

    def adapters(self) -> tuple[str | None, ...]:
        """The digest of the adapter that each symbol is computed under."""
        start = len(self.symbols) if self.active_from is None else self.active_from
        digest = self.contract.adapter.digest if self.contract else None
        return (None,) * start + (digest,) * (len(self.symbols) - start)


@dataclass(frozen=True)
class Call:
    """A model call with its prompt, as far as that is known."""

    node: Node
    prompt: Prompt
    max_tokens: int


def prompt_of(operation: g.Generate | g.Invoke, setup: Setup, values: Values) -> Prompt:
    """The prompt of one call. A thread is closed turns; a generation opens the assistant's, an intrinsic is invoked."""
    if isinstance(operation, g.Generate) and operation.may_invoke is not None:
        line = operation.thread.span.line
        raise BadInput(f"line {line}: calls by the model ('may invoke') can be checked, but not run yet")
    thread = thread_of(operation.thread, values)
    symbols = setup.prompter.thread_symbols(thread)
    if isinstance(operation, g.Generate):
        return Prompt(symbols + setup.prompter.generation_tokens(thread))
    contract = setup.contracts[operation.intrinsic.key]
    tail = contract.invocation or setup.prompter.generation_tokens(thread)
    start = len(symbols) + contract.active_at if contract.adapter.activated else 0
    return Prompt(symbols + tail, contract, start)


def max_tokens_of(operation: g.Generate | g.Invoke, setup: Setup) -> int:
    """The most tokens that a call can write."""
    if isinstance(operation, g.Invoke):
        return setup.contracts[operation.intrinsic.key].max_tokens
    options = choices_of(operation.as_type) if operation.as_type else None
    if options:
        return max(len(setup.prompter.tokenizer.encode_data(text)) for text, _ in options)
    settings = {argument.name: argument.value for argument in operation.settings}
    return int(evaluate(settings["max_tokens"], {})) if "max_tokens" in settings else DEFAULT_MAX_TOKENS


def calls_of(graph: FlowGraph, setup: Setup, known: Values) -> Iterator[Call]:
    """Every call that may run, in the order of the source, with what `known` tells of the nodes' values."""
    for node, values in reached(graph, setup, known):
        operation = node.operation
        assert isinstance(operation, (g.Generate, g.Invoke))
        yield Call(node, prompt_of(operation, setup, values), max_tokens_of(operation, setup))


def reached(graph: FlowGraph, setup: Setup, known: Values) -> Iterator[tuple[Node, Values]]:
    """The nodes of those calls, each with what can be said of the values before it; to be looked at before the next."""
    values: dict[str, Any] = dict(known)
    out: set[str] = set()
    for node in graph.nodes.values():
        if not _may_run(node.guards, values, out):
            out.add(node.id)
            continue
        if isinstance(node.operation, (g.Generate, g.Invoke)):
            yield node, values
        if node.id not in values:
            _foresee(node, setup, values, out)


def _may_run(path: Path, values: Values, out: set[str]) -> bool:
    """No guard is known not to hold."""
    return not any(guard.condition in out or values.get(guard.condition, guard.holds) != guard.holds for guard in path)


def _foresee(node: Node, setup: Setup, values: dict[str, Any], out: set[str]) -> None:
    """Put into `values` what can be said of a node before it has run: all, the shape of a thread, or nothing."""
    match node.operation:
        case g.Thread(expression):
            values[node.id] = thread_of(expression, values)
        case g.Generate(as_type=None) as call:
            written = Turn("assistant", (Hole(node.id, max_tokens_of(call, setup)),))
            thread: Thread = (*thread_of(call.thread, values), written)
            values[node.id] = Reply(None, thread)
        case g.Value(expression) if isinstance(node.type, t.ThreadType | t.ReplyType):
            values[node.id] = thread_of(expression, values)
        case g.Select(choices):
            possible = [value for path, value in choices if _may_run(path, values, out)]
            if len(possible) == 1 and isinstance(node.type, t.ThreadType | t.ReplyType):
                values[node.id] = thread_of(possible[0], values)
            elif len(possible) == 1:
                _try(node.id, possible[0], values)
        case g.Value(expression) | g.Condition(expression):
            _try(node.id, expression, values)
        case g.Input(parameter) if parameter.default is not None:
            _try(node.id, parameter.default, values)


def _try(node_id: str, expression: Expression, values: dict[str, Any]) -> None:
    try:
        values[node_id] = evaluate(expression, values)
    except NotKnown:
        return

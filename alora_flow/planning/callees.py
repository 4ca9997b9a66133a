"""Whom a model may call while it writes: what it writes for that, what an adapter is asked, and how it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from alora_flow.errors import BadAdapter, BadInput
from alora_flow.intrinsics.contract import Contract
from alora_flow.language.meaning.program import Binding, Expression, Intrinsic, Literal, MayInvoke, Reference, ToolDecl
from alora_flow.planning.answer_form import AnswerForm
from alora_flow.planning.evaluate import Values, evaluate
from alora_flow.planning.graph.walk import mapped
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.calls.records import Callee, Return
from alora_runtime.requests import Request, TextTrigger, Trigger


class Invocable(NamedTuple):
    """An intrinsic that a generation may call, and how it answers; engines know it by its key."""

    contract: Contract
    form: AnswerForm
    tokens: tuple[int, ...]

    @property
    def intrinsic(self) -> Intrinsic:
        return self.contract.intrinsic

    def callee(self, tokenizer: Tokenizer, limits: dict[str, Any]) -> Callee:
        """What it is to an engine; `limits`: of its answer, by the names of a Request's fields."""
        key, digest, contract = self.intrinsic.key, self.contract.adapter.digest, self.contract
        answer = Request((), **limits)
        if any(map(tokenizer.is_control, self.tokens)):
            return Callee(Trigger(key, self.tokens), digest, answer, active_at=contract.active_at)
        text = TextTrigger(key, tokenizer.spell(self.tokens))
        return Callee(text, digest, answer, self.tokens, contract.active_at)


@dataclass(frozen=True)
class OwnCalls:
    """What a generation may call, and the clauses that say how it goes on."""

    invocables: tuple[Invocable, ...]
    may: MayInvoke

    @property
    def longest(self) -> int:
        """The most tokens that one call leaves in its thread: an invocation and an answer."""
        return max(len(one.tokens) + one.form.most_tokens for one in self.invocables)

    def back(self, called: Intrinsic, value: Any, values: Values) -> Return:
        """How the model goes on: the first clause that fits decides. Raises RunFailed where its condition can't."""
        for clause in self.may.clauses:
            if clause.callee.key != called.key:
                continue
            if clause.condition is None or evaluate(_filled(clause.condition, clause.binding, value), values):
                return clause.action
        return "keep"


def _filled(condition: Expression, binding: Binding | None, value: Any) -> Expression:
    """The condition with a call's value in place of the name that the clause gives it."""
    if isinstance(condition, Reference) and condition.binding == binding:
        return Literal(condition.type, condition.span, value)
    return mapped(condition, lambda inner: _filled(inner, binding, value))


def invocable(contract: Contract, form: AnswerForm, line: int, stops: Sequence[int], tokenizer: Tokenizer) -> Invocable:
    """Raises BadAdapter for an intrinsic that can't be called in the middle of an answer."""
    tokens = tuple(piece for piece in contract.invocation if isinstance(piece, int))
    why = _not_invocable(contract, tokens, stops, tokenizer)
    if why is not None:
        raise BadAdapter(f"line {line}: the model cannot invoke '{contract.intrinsic.name}': {why[0]}", why[1])
    return Invocable(contract, form, tokens)


def _not_invocable(
    contract: Contract, tokens: tuple[int, ...], stops: Sequence[int], tokenizer: Tokenizer
) -> tuple[str, str] | None:
    if not contract.adapter.activated:
        return "its adapter is a plain LoRA, active from the first token", "train it as an activated one"
    if contract.io_yaml is not None and (contract.io_yaml.instruction is not None or contract.rewrites):
        return "its library puts an instruction or marks into what it reads", "call it after the reply: name() on reply"
    if contract.intrinsic.parameters:
        return "it takes arguments, and the model gives none", "call it in the flow"
    if not tokens:
        return "nothing invokes it", 'give it an invocation: invoke "<|…|>"'
    stop = next((token for token in tokens if token in stops), None)
    if stop is not None:
        return f"its invocation holds {tokenizer.spell((stop,))!r}, which ends an answer", "invoke it by other tokens"
    return None


def check_distinct(invocables: Sequence[Invocable], line: int, tokenizer: Tokenizer) -> None:
    """Raises BadInput for two that are invoked by the same tokens."""
    seen: dict[tuple[int, ...], Invocable] = {}
    for one in invocables:
        other = seen.setdefault(one.tokens, one)
        if other is not one:
            raise BadInput(
                f"line {line}: '{other.intrinsic.name}' and '{one.intrinsic.name}' are both invoked by "
                f"{tokenizer.spell(one.tokens)!r}, so nobody could tell which is called",
                "invoke them by different tokens",
            )


def check_kinds(may: MayInvoke, line: int) -> None:
    """Raises BadInput for what can be checked, and not called by a model yet."""
    tool = next((one for one in may.callees if isinstance(one, ToolDecl)), None)
    if tool is not None:
        raise BadInput(
            f"line {line}: a model that invokes a tool ('{tool.name}') can be checked, but not run yet",
            "call the tool in the flow, before or after the generation",
        )

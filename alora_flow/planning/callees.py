"""Whom a model may call while it writes: what it writes for that, how is answered, and how it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from alora_flow.errors import BadAdapter, BadInput
from alora_flow.intrinsics.contract import Contract, last
from alora_flow.language.meaning.program import Intrinsic, MayInvoke, ToolDecl
from alora_flow.language.meaning.types import Field, RecordType
from alora_flow.planning.answer_form import AnswerForm
from alora_flow.planning.evaluate import evaluate
from alora_flow.planning.prefix.amounts import Amount
from alora_flow.prompts.contents import Symbol
from alora_flow.prompts.requesting import CallForm
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.models import declare_defaults
from alora_runtime.calls.records import Callee
from alora_runtime.requests import Request, TextTrigger, Trigger


class Invocable(NamedTuple):
    """An intrinsic or a tool that a model may call; engines know it by its key.

    form: of an intrinsic's answer, or of a tool's arguments, which whoever calls it writes. tokens: that call it;
    exact: these alone do, and no others that spell the same text.
    contract: of an intrinsic. closing: what stands behind a tool's arguments. turned: tokens that are computed for the
    turn in which its result comes back, and to open the caller's turn anew. asking: how the template writes a call of
    it, where that says what calls it.
    """

    called: Intrinsic | ToolDecl
    form: AnswerForm
    tokens: tuple[int, ...]
    exact: bool
    contract: Contract | None = None
    closing: tuple[int, ...] = ()
    turned: Amount = Amount()
    asking: CallForm | None = None

    @property
    def key(self) -> str:
        return self.called.key

    @property
    def others(self) -> tuple[str, ...]:
        """What else calls it."""
        return tuple(self.asking.befores)[1:] if self.asking else ()

    def call_id(self, before: str) -> str:
        """What the template calls the call with this in front of its arguments."""
        ids = self.asking.befores if self.asking else {}
        return next((id for spelt, id in ids.items() if spelt.split() == before.split()), "")

    @property
    def may(self) -> MayInvoke | None:
        """What it may invoke in turn."""
        return self.called.may_invoke if isinstance(self.called, Intrinsic) else None

    @property
    def adapter(self) -> str | None:
        """The digest of the adapter that answers; None: whoever calls it."""
        return self.contract.adapter.digest if self.contract else None

    @property
    def active_at(self) -> int:
        """The first of the tokens that is computed under the adapter."""
        return self.contract.active_at if self.contract else 0

    def callee(self, tokenizer: Tokenizer, limits: dict[str, Any]) -> Callee:
        """What it is to an engine; `limits`: of its answer, by the names of a Request's fields."""
        spelt, control = tokenizer.spell(self.tokens), any(map(tokenizer.is_control, self.tokens))
        trigger = Trigger(self.key, self.tokens) if self.exact else TextTrigger(self.key, spelt, control, self.others)
        may = self.may
        return Callee(
            trigger,
            self.adapter,
            Request((), **limits),
            self.tokens,
            self.active_at,
            [one.key for one in may.callees] if may else (),
            may.budget if may else None,
            may.depth if may else None,
            by_caller=self.contract is None,
        )


@dataclass(frozen=True)
class OwnCalls:
    """What a call may call while it writes, and whatever those may call in turn; and the clauses that say how it goes
    on."""

    may: MayInvoke
    invocables: tuple[Invocable, ...]

    @cached_property
    def by_key(self) -> Mapping[str, Invocable]:
        return {one.key: one for one in self.invocables}

    @property
    def longest(self) -> int | None:
        """The most tokens that one call leaves in its thread; None where nobody knows how long a tool's result is."""
        direct = [self.by_key[one.key] for one in self.may.callees]
        if not all(one.turned.known for one in direct):
            return None
        return max((len(one.tokens) + one.form.most_tokens + one.turned.tokens for one in direct), default=0)

    @property
    def depth(self) -> int:
        """The most that wait for each other."""
        return self._depth(self.may)

    def _depth(self, may: MayInvoke) -> int:
        if may.depth is not None:
            return may.depth
        inner = [self.by_key[one.key].may for one in may.callees]
        return 1 + max((self._depth(one) for one in inner if one is not None), default=0)

    def callers_of(self, key: str) -> list[MayInvoke]:
        """The permissions under which it is called."""
        mays = [self.may, *(one.may for one in self.invocables)]
        return [may for may in mays if may is not None and key in (one.key for one in may.callees)]


def arguments_type(tool: ToolDecl) -> RecordType:
    """A tool's arguments as a record, which a model writes as JSON."""
    fields = tuple(Field(item.name, item.type, item.default is None) for item in tool.parameters)
    record = RecordType(tool.name, fields, f"tool {tool.key}")
    given = {item.name: evaluate(item.default, {}) for item in tool.parameters if item.default is not None}
    declare_defaults(record, given)
    return record


def check_invocable(one: Invocable, line: int, stops: Sequence[int], tokenizer: Tokenizer) -> None:
    """Raises BadAdapter for what can't be called in the middle of an answer."""
    why = (one.contract and _not_as_declared(one.contract)) or _not_by_these(one, stops, tokenizer)
    if why is not None:
        raise BadAdapter(f"line {line}: the model cannot invoke '{one.called.name}': {why[0]}", why[1])


def _not_as_declared(contract: Contract) -> tuple[str, str] | None:
    if not contract.adapter.activated:
        return "its adapter is a plain LoRA, active from the first token", "train it as an activated one"
    if contract.io_yaml is not None and (contract.io_yaml.instruction is not None or contract.rewrites):
        return "its library puts an instruction or marks into what it reads", "call it after the reply: name() on reply"
    if contract.intrinsic.parameters:
        return "it takes arguments, and the model gives none", "call it in the flow"
    return None


def _not_by_these(one: Invocable, stops: Sequence[int], tokenizer: Tokenizer) -> tuple[str, str] | None:
    tokens = one.tokens
    if not tokens:
        return "nothing invokes it", 'give it an invocation: invoke "<|…|>"'
    stop = next((token for token in tokens if token in stops), None)
    if stop is not None:
        return f"its invocation holds {tokenizer.spell((stop,))!r}, which ends an answer", "invoke it by other tokens"
    return None


def check_goes_on(contract: Contract, behind: Sequence[Symbol], line: int, tokenizer: Tokenizer) -> None:
    """An intrinsic that calls a tool goes on under its adapter behind the result. Raises BadAdapter where what stands
    there, `behind` its call, would activate the adapter anew: by PEFT's rule it acts from the last such place only."""
    may = contract.intrinsic.may_invoke
    tool = next((one for one in may.callees if isinstance(one, ToolDecl)), None) if may else None
    anew = contract.adapter.activated and last(contract.sequence, tuple(behind)) is not None
    if tool is not None and anew:
        said = f"line {line}: intrinsic '{contract.intrinsic.name}' cannot invoke '{tool.name}': behind the result "
        said += f"stands {tokenizer.spell(contract.sequence)!r}, from which its adapter would act anew"
        raise BadAdapter(said, "call the tool in the flow, and the intrinsic on a thread that holds the result")


def check_distinct(invocables: Sequence[Invocable], line: int, tokenizer: Tokenizer) -> None:
    """Raises BadInput for two that are invoked by the same tokens."""
    seen: dict[tuple[int, ...], Invocable] = {}
    for one in invocables:
        other = seen.setdefault(one.tokens, one)
        if other is not one:
            raise BadInput(
                f"line {line}: '{other.called.name}' and '{one.called.name}' are both invoked by "
                f"{tokenizer.spell(one.tokens)!r}, so nobody could tell which is called",
                "invoke them by different tokens",
            )

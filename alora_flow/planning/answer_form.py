"""How an answer is limited and how it is read: one form for intrinsics and for what the base generates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from alora_flow.intrinsics.contract import Contract, choices_of
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Argument
from alora_flow.planning.evaluate import NotKnown, Values, evaluate
from alora_flow.planning.reading import chosen_value, intrinsic_value, written_value
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.models import adapter
from alora_runtime.answer.constraints import Constraint
from alora_runtime.requests import Completion

DEFAULT_MAX_TOKENS = 256
"""For a `generate` that does not say `max_tokens`."""


@dataclass(frozen=True)
class AnswerForm:
    """`most_tokens`: the most that are written. `choices`: the token sequences of which one is written. `constraint`:
    the grammar of what is no short list of choices; free text has neither. `settings`: sampling settings whose values
    are known, by their names in alora_runtime's Request; `open`: those that the run has to evaluate. `read`: from a
    completion to the value that the flow sees; None where that is the text itself."""

    most_tokens: int
    choices: tuple[tuple[int, ...], ...] | None = None
    constraint: Constraint | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    open: tuple[Argument, ...] = ()
    read: Callable[[Completion], Any] | None = None

    def limits(self, values: Values) -> dict[str, Any]:
        """What a Request says of its answer, by its fields' names."""
        sampling = {**self.settings, **{_field(item): evaluate(item.value, values) for item in self.open}}
        return {"max_tokens": self.most_tokens, "choices": self.choices, "constraint": self.constraint, **sampling}


def form_of_intrinsic(contract: Contract) -> AnswerForm:
    """An intrinsic's answer, by its contract."""
    choices = tuple(outcome.tokens for outcome in contract.outcomes) if contract.outcomes else None
    settings = {name: value for name, value in contract.settings.items() if name != "max_tokens"}
    constraint = None if choices else constraint_for(contract.emits)
    read = partial(intrinsic_value, contract)
    return AnswerForm(contract.max_tokens, choices, constraint, settings, read=read)


def form_of_generation(as_type: t.Type | None, written: tuple[Argument, ...], tokenizer: Tokenizer) -> AnswerForm:
    """What `generate(…) as T` gives. The texts of choices are data: no value of a type spells a control token."""
    settings: dict[str, Any] = {}
    open: list[Argument] = []
    for item in written:
        try:
            settings[_field(item)] = evaluate(item.value, {})
        except NotKnown:
            open.append(item)
    most = settings.pop("max_tokens", DEFAULT_MAX_TOKENS)
    if as_type is None:
        return AnswerForm(most, None, None, settings, tuple(open))
    options = choices_of(as_type)
    if options is None:
        constraint = constraint_for(as_type)
        return AnswerForm(most, None, constraint, settings, tuple(open), partial(written_value, as_type))
    choices = tuple(tokenizer.encode_data(text) for text, _ in options)
    values = tuple(value for _, value in options)
    return AnswerForm(
        max(map(len, choices)), choices, None, settings, tuple(open), partial(chosen_value, as_type, values)
    )


def constraint_for(type: t.Type) -> Constraint | None:
    """The grammar of a type; free text has none."""
    return None if isinstance(type, t.StrType) else Constraint.json_schema(adapter(type).json_schema())


def _field(setting: Argument) -> str:
    """The name of a setting in a Request."""
    return "stop_strings" if setting.name == "stop" else setting.name

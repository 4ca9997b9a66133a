"""How an answer is limited and how it is read: one form for intrinsics and for what the base generates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import partial
from math import inf
from typing import Any

from alora_flow.errors import BadAdapter, RunFailed
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.contract import Contract
from alora_flow.intrinsics.io_yaml import IoYaml
from alora_flow.intrinsics.likelihood import ALTERNATIVES
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Argument, Expected
from alora_flow.planning.evaluate import NotKnown, Values, evaluate
from alora_flow.planning.graph.walk import every
from alora_flow.planning.reading import chosen_value, intrinsic_value, written_value
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.models import adapter
from alora_flow.values.written import choices_of
from alora_runtime.answer.constraints import Constraint
from alora_runtime.answer.interruptible import Interruptible
from alora_runtime.answer.schema import with_digits
from alora_runtime.errors import ConstraintError
from alora_runtime.requests import Completion

DEFAULT_MAX_TOKENS = 256
"""For a `generate` that does not say `max_tokens`."""


@dataclass(frozen=True)
class AnswerForm:
    """How many tokens may be written, which, and what they mean.

    choices: the token sequences of which one is written; `texts`: the same as text.
    constraint: the grammar of what is not a short list of choices; free text has neither.
    settings: sampling settings whose values are known, by their names in alora_runtime's Request.
    open: those that the run has to evaluate.
    read: from a completion to the value that the flow sees, an intrinsic's with what its call was given; None where
        that is the text itself.
    weighed: that value takes the probabilities of all choices, not only which one is written.
    retry: how often it is asked again, with another seed, where what was written is none of its values.
    """

    most_tokens: int
    choices: tuple[tuple[int, ...], ...] | None = None
    constraint: Constraint | Interruptible | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    open: tuple[Argument, ...] = ()
    read: Callable[..., Any] | None = None
    texts: tuple[str, ...] = ()
    weighed: bool = False
    retry: int = 0

    @property
    def tries(self) -> int:
        """The most calls that one answer takes."""
        return 1 + self.retry

    def decoded(self) -> AnswerForm:
        """The same for what can't score choices: one is written under a grammar, and is certain then."""
        if self.choices is None:
            return self
        grammar = Constraint.lark(f"start: {' | '.join(json.dumps(text) for text in self.texts)}")
        return replace(self, choices=None, texts=(), constraint=grammar, read=self._read_text)

    def _read_text(self, completion: Completion) -> Any:
        assert self.read is not None
        if completion.text not in self.texts:
            raise RunFailed(f"the model wrote {completion.text!r}, which is none of {', '.join(self.texts)}")
        place = self.texts.index(completion.text)
        certain = tuple(0.0 if index == place else -inf for index in range(len(self.texts)))
        return self.read(replace(completion, choice=place, choice_logprobs=certain))

    def limits(self, values: Values) -> dict[str, Any]:
        """What a Request says of its answer, by its fields' names."""
        sampling = {**self.settings, **{_field(item.name): evaluate(item.value, values) for item in self.open}}
        return {"max_tokens": self.most_tokens, "choices": self.choices, "constraint": self.constraint, **sampling}

    def most_tokens_at_least(self, values: Values) -> int:
        """What `most_tokens` will be in a run, or the least that it may be where `values` do not tell yet."""
        asked = next((item.value for item in self.open if item.name == "max_tokens"), None)
        if asked is None:
            return self.most_tokens
        try:
            return int(evaluate(asked, values))
        except NotKnown:
            return (isinstance(asked.type, t.IntType) and asked.type.low) or 1


def form_of_intrinsic(contract: Contract, tokenizer: Tokenizer) -> AnswerForm:
    """An intrinsic's answer, by its contract."""
    choices = tuple(outcome.tokens for outcome in contract.outcomes) if contract.outcomes else None
    own = {name: value for name, value in contract.settings.items() if name not in ("max_tokens", "digits")}
    settings = {_field(name): value for name, value in own.items()}
    retry, io_yaml = settings.pop("retry", 0), contract.io_yaml
    constraint = None if io_yaml is None else published_grammar(io_yaml)
    if constraint is None and not choices:
        constraint = constraint_for(contract.emits, contract.settings.get("digits"))
    if io_yaml is not None and io_yaml.weighed and not choices:
        settings["logprobs"] = ALTERNATIVES
    read = partial(intrinsic_value, contract, tokenizer)
    texts = tuple(map(tokenizer.spell, choices or ()))
    longest = constraint.most_tokens if constraint and "max_tokens" not in contract.settings else None
    most = longest or contract.max_tokens
    return AnswerForm(most, choices, constraint, settings, (), read, texts, _weighed(contract), retry)


def published_grammar(io_yaml: IoYaml) -> Constraint | None:
    """A library's grammar, which nobody has tried here; None for text. Raises BadAdapter where it does not compile."""
    if io_yaml.schema is None:
        return None
    constraint = Constraint.json_schema(io_yaml.schema)
    try:
        constraint.check()
    except ConstraintError as error:
        help = "say it by other keywords of JSON Schema, as `anyOf` for `oneOf`"
        raise BadAdapter(f"{io_yaml.place}: the answer's schema: {error}", help) from error
    return constraint


def _weighed(contract: Contract) -> bool:
    """Does the intrinsic's value take the probabilities of what the adapter may write?"""
    intrinsic, result, io_yaml = contract.intrinsic, contract.intrinsic.result, contract.io_yaml
    if isinstance(result, t.ProbType) or (contract.calibration and contract.calibration.decides_answers):
        return True
    if io_yaml is not None:
        return io_yaml.weighed and (contract.outcomes is None or isinstance(result, t.BoolType | t.FloatType))
    return any(isinstance(part, Expected) for part in every((intrinsic.value,)))


def form_of_generation(as_type: t.Type | None, written: tuple[Argument, ...], tokenizer: Tokenizer) -> AnswerForm:
    """What `generate(…) as T` gives. The texts of choices are data: no value of a type spells a control token."""
    settings: dict[str, Any] = {}
    open: list[Argument] = []
    for item in written:
        try:
            settings[_field(item.name)] = evaluate(item.value, {})
        except NotKnown:
            open.append(item)
    options = None if as_type is None else choices_of(as_type)
    digits, retry = settings.pop("digits", None), settings.pop("retry", 0)
    constraint = None if as_type is None or options else constraint_for(as_type, digits)
    most = settings.pop("max_tokens", _most(open, constraint))
    if as_type is None:
        return AnswerForm(most, None, None, settings, tuple(open), retry=retry)
    if options is None:
        return AnswerForm(most, None, constraint, settings, tuple(open), partial(written_value, as_type), retry=retry)
    texts, values = zip(*options, strict=True)
    choices = tuple(map(tokenizer.encode_data, texts))
    open = [item for item in open if item.name != "max_tokens"]
    most, read, weighed = (
        max(map(len, choices)),
        partial(chosen_value, as_type, values),
        isinstance(as_type, t.ProbType),
    )
    return AnswerForm(most, choices, None, settings, tuple(open), read, texts, weighed, retry)


def _most(open: list[Argument], constraint: Constraint | None) -> int:
    """The upper end of a `max_tokens` that the run has to evaluate, for which the checker asks; where it is not
    written, what the longest value of the type takes, if there is a longest."""
    type = next((item.value.type for item in open if item.name == "max_tokens"), None)
    if isinstance(type, t.IntType) and type.high is not None:
        return type.high
    return (constraint and constraint.most_tokens) or DEFAULT_MAX_TOKENS


def constraint_for(type: t.Type, digits: int | None = None) -> Constraint | None:
    """The grammar of a type; free text has none. `digits`: the most after the point of every float."""
    if isinstance(type, t.StrType):
        return None
    schema = adapter(type).json_schema()
    return Constraint.json_schema(schema if digits is None else with_digits(schema, digits))


def _field(setting: str) -> str:
    """The name of a setting in a Request."""
    return "stop_strings" if setting == "stop" else setting

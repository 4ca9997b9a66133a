"""From what a model wrote to the value that the flow sees."""

from __future__ import annotations

from math import exp, fsum
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import RunFailed
from alora_flow.intrinsics.contract import Contract
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.evaluate import ITS_DISTRIBUTION, evaluate
from alora_flow.values.data import Distribution
from alora_flow.values.models import adapter
from alora_runtime.requests import Completion


def intrinsic_value(contract: Contract, completion: Completion) -> Any:
    """An intrinsic's result. Raises RunFailed where what was written does not fit its type."""
    result = contract.intrinsic.result
    if contract.outcomes is None:
        value = written_value(contract.emits, completion)
    else:
        written = Distribution(tuple(o.it for o in contract.outcomes), _normalised(completion.choice_logprobs))
        value = _weighed(contract, written) if contract.intrinsic.from_library else _computed(contract, written)
    if isinstance(result, t.ProbType):
        return Distribution(tuple(_checked(outcome, result.of) for outcome in value.outcomes), value.probabilities)
    return _checked(value, result)


def chosen_value(type: t.Type, values: tuple[Any, ...], completion: Completion) -> Any:
    """The value of `generate(...) as T`, where T's values are choices."""
    if isinstance(type, t.ProbType):
        return Distribution(values, _normalised(completion.choice_logprobs))
    assert completion.choice is not None
    return values[completion.choice]


def written_value(type: t.Type, completion: Completion) -> Any:
    """What was written, as a value. What `max_tokens` cut short is right if it can be read, as text always can."""
    try:
        return parse(type, completion.text)
    except RunFailed:
        if completion.finish != "length":
            raise
        raise RunFailed(
            f"{len(completion.tokens)} tokens were not enough for a {type}: {completion.text!r}", "raise max_tokens"
        ) from None


def parse(type: t.Type, text: str) -> Any:
    """Written text as a value: a string as it is, everything else from JSON."""
    if isinstance(type, t.StrType):
        return text
    try:
        return adapter(type).validate_json(text)
    except ValidationError as error:
        raise RunFailed(f"the model wrote {text!r}, which is not a {type}: {error.errors()[0]['msg']}") from error


def _normalised(log_probabilities: tuple[float, ...]) -> tuple[float, ...]:
    """The probabilities of the choices, given that one of them is written."""
    top = max(log_probabilities)
    weights = [exp(value - top) for value in log_probabilities]
    return tuple(weight / fsum(weights) for weight in weights)


def _weighed(contract: Contract, written: Distribution) -> Any:
    """The short form: io.yaml gives every category a number, and the result's type says what to make of them."""
    weights = [outcome.weight or 0.0 for outcome in contract.outcomes or ()]
    mean = written.mean(weights)
    match contract.intrinsic.result:
        case t.ProbType(of=t.BoolType()):
            return Distribution((True, False), (mean, 1.0 - mean))
        case t.ProbType():
            return written
        case t.BoolType():
            return mean >= 0.5
        case t.FloatType():
            return mean
    return parse(contract.intrinsic.result, written.top)


def _computed(contract: Contract, written: Distribution) -> Any:
    """The full form: the flow's own `value` of `it`, over the distribution where the result is one."""
    value, result = contract.intrinsic.value, contract.intrinsic.result
    if value is None:
        return written if isinstance(result, t.ProbType) else written.top
    if not isinstance(result, t.ProbType) or isinstance(value.type, t.ProbType):
        return _of(value, written.top, written)
    outcomes: dict[Any, float] = {}
    for it, probability in zip(written.outcomes, written.probabilities, strict=True):
        outcome = _of(value, it, written)
        outcomes[outcome] = outcomes.get(outcome, 0.0) + probability
    return Distribution(tuple(outcomes), tuple(outcomes.values()))


def _of(value: Expression, it: Any, written: Distribution) -> Any:
    return evaluate(value, {"it": it, ITS_DISTRIBUTION: written})


def _checked(value: Any, type: t.Type) -> Any:
    try:
        return adapter(type).validate_python(value)
    except ValidationError as error:
        raise RunFailed(f"{value!r} is no {type}: {error.errors()[0]['msg']}") from error

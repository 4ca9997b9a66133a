"""From what a model wrote to the value that the flow sees."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from alora_flow.errors import RunFailed
from alora_flow.intrinsics.calibration import USUAL_THRESHOLD
from alora_flow.intrinsics.contract import Contract
from alora_flow.intrinsics.io_yaml import IoYaml
from alora_flow.intrinsics.likelihood import TokenizedAnswer, mean_of
from alora_flow.intrinsics.rules import Answer
from alora_flow.intrinsics.sentences import Sentence
from alora_flow.intrinsics.shapes import fitted
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Expression
from alora_flow.planning.evaluate import ITS_DISTRIBUTION, Values, evaluate
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.data import Distribution
from alora_flow.values.models import adapter, complaint
from alora_flow.values.written import normalised, parse
from alora_runtime.requests import Completion

Sentences: TypeAlias = Mapping[str, Mapping[int, Sentence]]
"""By location and number."""


def intrinsic_value(
    contract: Contract,
    tokenizer: Tokenizer,
    completion: Completion,
    arguments: Values | None = None,
    sentences: Sentences | None = None,
) -> Any:
    """An intrinsic's result. `arguments`: of its call; `sentences`: that were numbered in what it read.

    Raises RunFailed where what was written does not fit its type.
    """
    result = contract.intrinsic.result
    given = arguments or {}
    if contract.outcomes is not None:
        probabilities = normalised(completion.choice_logprobs, contract.temperature)
        written = Distribution(tuple(o.it for o in contract.outcomes), probabilities)
        value = _weighed(contract, written) if contract.io_yaml else _computed(contract, written, given)
    elif contract.io_yaml is not None:
        value = _transformed(contract, contract.io_yaml, tokenizer, completion, sentences or {})
    else:
        value = written_value(contract.emits, completion)
        if contract.intrinsic.value is not None:
            value = evaluate(contract.intrinsic.value, {**given, "it": value})
    if isinstance(result, t.ProbType):
        assert isinstance(value, Distribution)
        return Distribution(tuple(_checked(outcome, result.of) for outcome in value.outcomes), value.probabilities)
    return _checked(value, result)


def _transformed(
    contract: Contract, io_yaml: IoYaml, tokenizer: Tokenizer, completion: Completion, sentences: Sentences
) -> Any:
    """What a library's rules make of the JSON that its adapter wrote; bare text where it asks for no more."""
    result = contract.intrinsic.result
    if io_yaml.schema is None and not io_yaml.rules and isinstance(result, t.StrType):
        return completion.text
    answer = _tokenized(io_yaml, tokenizer, completion)
    try:
        value = json.loads(answer.text)
    except (ValueError, RecursionError) as error:
        short = f"{len(completion.tokens)} tokens were not enough: " if completion.finish == "length" else ""
        help = "raise max_tokens: with (max_tokens: …)" if short else None
        raise RunFailed(f"{short}the adapter wrote {answer.text!r}, which is not JSON: {error}", help) from error
    for rule in io_yaml.rules:
        value = rule.apply(value, Answer(answer, sentences, contract.temperature))
    return fitted(value, io_yaml.shape, result, _threshold(contract))


FINAL = re.compile(r"<\|channel\|>\s*final\s*<\|message\|>(.*?)(?:<\|end\|>|<\|return\|>|$)", re.DOTALL)
"""What stands in a final channel."""


def _tokenized(io_yaml: IoYaml, tokenizer: Tokenizer, completion: Completion) -> TokenizedAnswer:
    """The answer with its tokens; with `logprobs_workaround` that of its final channel, if it wrote channels."""
    tokens = completion.tokens
    channel = FINAL.search(tokenizer.spell(tokens)) if io_yaml.final_channel else None
    if channel is None:
        return TokenizedAnswer(completion.text, tokens, completion.logprobs, tokenizer.decode)
    counts = range(len(tokens) + 1)
    start, end = (
        bisect_left(counts, place, key=lambda count: len(tokenizer.spell(tokens[:count]))) for place in channel.span(1)
    )
    return TokenizedAnswer(channel[1], tokens[start:end], completion.logprobs[start:end], tokenizer.decode)


def chosen_value(type: t.Type, values: tuple[Any, ...], completion: Completion) -> Any:
    """The value of `generate(...) as T`, where T's values are choices."""
    if isinstance(type, t.ProbType):
        return Distribution(values, normalised(completion.choice_logprobs))
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


def _weighed(contract: Contract, written: Distribution) -> Any:
    """Bare text with a number for each category: the result's type says what to make of them."""
    assert contract.io_yaml is not None
    weights = [outcome.weight or 0.0 for outcome in contract.outcomes or ()]
    value: Any = mean_of(list(zip(weights, written.probabilities, strict=True)))
    rules, result = contract.io_yaml.rules[1:], contract.intrinsic.result
    for rule in rules:
        value = rule.apply(value, NO_TOKENS)
    if rules or isinstance(result, t.BoolType | t.FloatType) or result == t.ProbType(t.BOOL):
        return fitted(value, contract.io_yaml.shape, result, _threshold(contract))
    return written if isinstance(result, t.ProbType) else parse(result, _taken(contract, written))


def _threshold(contract: Contract) -> float:
    """From where on a number is true."""
    found = contract.calibration.threshold if contract.calibration else None
    return USUAL_THRESHOLD if found is None else found


def _taken(contract: Contract, written: Distribution) -> Any:
    """The likeliest outcome; where a threshold says which of two is taken, that one."""
    if contract.calibration is None or not contract.calibration.decides_answers:
        return written.top
    numbers = [outcome.weight or 0.0 for outcome in contract.outcomes or ()]
    wanted = max(numbers) if written.mean(numbers) >= _threshold(contract) else min(numbers)
    return written.outcomes[numbers.index(wanted)]


NO_TOKENS = Answer(TokenizedAnswer("", (), (), str), {})


def _computed(contract: Contract, written: Distribution, given: Values) -> Any:
    """The full form: the flow's own `value` of `it`, over the distribution where the result is one."""
    value, result = contract.intrinsic.value, contract.intrinsic.result
    if value is None:
        return written if isinstance(result, t.ProbType) else _taken(contract, written)
    if not isinstance(result, t.ProbType) or isinstance(value.type, t.ProbType):
        return _of(value, _taken(contract, written), written, given)
    outcomes: dict[Any, float] = {}
    for it, probability in zip(written.outcomes, written.probabilities, strict=True):
        outcome = _of(value, it, written, given)
        outcomes[outcome] = outcomes.get(outcome, 0.0) + probability
    return Distribution(tuple(outcomes), tuple(outcomes.values()))


def _of(value: Expression, it: Any, written: Distribution, given: Values) -> Any:
    return evaluate(value, {**given, "it": it, ITS_DISTRIBUTION: written})


def _checked(value: Any, type: t.Type) -> Any:
    try:
        return adapter(type).validate_python(value)
    except ValidationError as error:
        raise RunFailed(f"{value!r} is no {type}: {complaint(error)}") from error

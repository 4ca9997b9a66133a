"""What a model may write for a value, and the value of what was written."""

from __future__ import annotations

from math import exp, fsum
from typing import Any

from pydantic import ValidationError

from alora_flow.errors import RunFailed
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Choices
from alora_flow.language.meaning.relations import MOST_CHOICES
from alora_flow.values.models import adapter, complaint, python_type


def choices_of(emits: Choices | t.Type) -> tuple[tuple[str, Any], ...] | None:
    """What may be written and the value that it stands for, where a type has few enough values to list."""
    match emits:
        case Choices(options):
            return tuple((option, option) for option in options)
        case t.ProbType(of=outcome):
            return choices_of(outcome)
        case t.BoolType():
            return ("true", True), ("false", False)
        case t.EnumType(texts=texts):
            return tuple((text, python_type(emits)(text)) for text in texts)
        case t.IntType(low=int() as low, high=int() as high) if high - low < MOST_CHOICES:
            return tuple((str(number), number) for number in range(low, high + 1))
    return None


def parse(type: t.Type, text: str) -> Any:
    """Written text as a value: a string as it is, everything else from JSON."""
    if isinstance(type, t.StrType):
        return text
    try:
        return adapter(type).validate_json(text)
    except ValidationError as error:
        raise RunFailed(f"the model wrote {text!r}, which is not a {type}: {complaint(error)}") from error


def normalised(log_probabilities: tuple[float, ...], temperature: float = 1.0) -> tuple[float, ...]:
    """The probabilities of the choices, given that one of them is written."""
    top = max(log_probabilities)
    weights = [exp((value - top) / temperature) for value in log_probabilities]
    return tuple(weight / fsum(weights) for weight in weights)

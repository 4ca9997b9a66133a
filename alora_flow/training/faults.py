"""The first thing that is wrong with a spec or a row, in words for who wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import repr

from pydantic import BaseModel, ValidationError

from alora_flow.errors import BadInput

WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}
"""What a value of another type should have been, by pydantic's names of faults."""


def first_fault(error: ValidationError, where: str, model: type[BaseModel]) -> BadInput:
    """where: the file, and the line. model: whose keys are meant where one is not known."""
    first = error.errors(include_url=False)[0]
    at = ".".join(str(part) for part in first["loc"] if part != "[key]")
    said = f"{where}: {at}" if at else where
    match first["type"]:
        case "extra_forbidden":
            return BadInput(f"{said} is no key that is known here", meant(str(first["loc"][-1]), model.model_fields))
        case "missing":
            return BadInput(f"{said} is missing")
        case "too_short" | "string_too_short":
            return BadInput(f"{said} is empty")
        case "value_error":
            return BadInput(f"{said}: {first['msg'].removeprefix('Value error, ')}")
    wanted = f"wants {WANTED[first['type']]}" if first["type"] in WANTED else first["msg"]
    return BadInput(f"{said}: {wanted}, not {repr(first['input'])}")


def meant(word: str, known: Iterable[str]) -> str:
    """Which of the known words it may be, or all of them."""
    names = [name for name in known if name != "path"]
    close = get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"

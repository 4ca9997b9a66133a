"""JSON from outside, read strictly: one value, or an object on each line of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alora_flow.errors import BadInput


def read_json(text: str) -> Any:
    """Raises ValueError for what is no JSON, and for what most readers hide: a name that stands twice in an object, and
    numbers that are none."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)


def read_objects(path: Path, help: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a file, each with its place in words. Blank lines count as lines only. Raises BadInput with the
    place of what is no object. help: what to do where the file can't be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}", help) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 at byte {error.start}", "JSON files are UTF-8") from error
    except ValueError as error:
        raise BadInput(f"{str(path)!r} can't be read: {error}", help) from error
    places = ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    objects = [(place, _object(line, place)) for place, line in places]
    if not objects:
        raise BadInput(f"{path} has no rows")
    return objects


def _object(line: str, place: str) -> dict[str, Any]:
    whole = "a line is a whole object: {…}"
    try:
        found = read_json(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"{place}, column {error.colno}: not JSON: {error.msg}", whole) from error
    except RecursionError as error:
        raise BadInput(f"{place}: nested too deeply") from error
    except ValueError as error:
        raise BadInput(f"{place}: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{place}: not a JSON object", whole)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"'{name}' is given twice")
        content[name] = value
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")

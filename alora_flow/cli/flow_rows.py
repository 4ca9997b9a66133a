"""A flow on many rows: its inputs from their columns, its results beside one."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from alora_flow.errors import BadInput, BadUsage, FlowError
from alora_flow.execution.inputs import check_inputs
from alora_flow.flow import Flow
from alora_flow.language.meaning import types as t
from alora_flow.training.measuring import Chosen
from alora_flow.values.data import Distribution
from alora_flow.values.json_text import read_objects
from alora_flow.values.plain import plain

MOST_NAMED = 5
"""So many values of a column are named."""

AT_ONCE = 128
"""Rows that run side by side."""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line. Raises BadInput with the line of what is none."""
    return [{**row, WHERE: place} for place, row in read_objects(path)]


WHERE = ""
"""The key under which a row knows its file and line: no column has an empty name."""


@dataclass(frozen=True)
class Results:
    """failed: where, and the error, of each row whose run failed."""

    chosen: Chosen
    failed: Sequence[tuple[str, str]]


class FlowRows:
    """Rows as a flow's inputs, and what it should give."""

    def __init__(
        self,
        flow: Flow,
        path: Path,
        rows: Sequence[Mapping[str, Any]],
        column: str,
        inputs: Sequence[str],
        truth: str | None,
    ) -> None:
        """inputs: `name=column` each. truth: what of the column is true. Raises BadInput and BadUsage for columns that
        there are not, and values that do not fit, with the row."""
        self.flow, self.rows, self._path, self._truth = flow, rows, path, truth
        parameters = {parameter.name: parameter for parameter in flow.declaration.parameters}
        chosen = dict(map(_pair, inputs))
        for name in chosen:
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise BadUsage(f"flow '{flow.__name__}' has no input '{name}'", f"its inputs: {known}")
        named = {name: name for name in parameters if any(name in row for row in rows)}
        self._columns = {**named, **chosen}
        self.expected = [self._meant(row, column) for row in rows]
        self.inputs = [self._checked(row) for row in rows]
        said = {value: True for row in rows if isinstance(value := _part(row, column), str)}
        if self.truthful and truth is not None and said and truth not in said:
            known = ", ".join([*said][:MOST_NAMED])
            raise BadInput(f"no row's '{column}' is {truth!r}, which --true names", f"there are {known}")

    def _checked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: _part(row, column) for name, column in self._columns.items()}
        try:
            check_inputs(self.flow.declaration, given)
        except BadInput as error:
            raise BadInput(
                f"{row[WHERE]}: {error.message}", "name a column for each input: --input NAME=COLUMN"
            ) from error
        return given

    def _meant(self, row: Mapping[str, Any], column: str) -> Any:
        """What the flow should give."""
        value, gives = _part(row, column), self.flow.declaration.result
        if self.truthful and isinstance(value, str):
            if self._truth is None:
                raise BadInput(
                    f"{row[WHERE]}: '{column}' is the text {value!r}, and the flow gives {gives}",
                    f"say which text is true: --true {value}",
                )
            return value == self._truth
        return bool(value) if self.truthful and value in (0, 1) else value

    @cached_property
    def truthful(self) -> bool:
        """Does the flow give a truth value, or the probability of one?"""
        result = self.flow.declaration.result
        return result in (t.BOOL, t.ProbType(t.BOOL)) or (self._truth is not None and isinstance(result, t.FloatType))

    @property
    def groups(self) -> list[Hashable]:
        """Which rows are drawn together."""
        return [str(row.get("group", "")) or row[WHERE] for row in self.rows]

    @property
    def sources(self) -> list[str]:
        return [str(row.get("source", "")) for row in self.rows]


def _pair(text: str) -> tuple[str, str]:
    name, mark, column = text.partition("=")
    if not mark or not name or not column:
        raise BadUsage(f"{text!r} is not of the form name=column")
    return name, column


def _part(row: Mapping[str, Any], column: str) -> Any:
    """A column, or a part of one by its path: `messages.0.content`. Raises BadInput where there is none."""
    if column in row:
        return row[column]
    found: Any = row
    for step in column.split("."):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError):
            known = ", ".join(name for name in row if name != WHERE)
            raise BadInput(f"{row[WHERE]} has no column '{column}'", f"it has {known}") from None
    return found


def run_rows(rows: FlowRows, progress: Callable[[int, int], None]) -> Results:
    """Run the flow on all of them. Raises what is no failure of a run."""
    done: list[Any] = []
    for start in range(0, len(rows.inputs), AT_ONCE):
        done += rows.flow.map(rows.inputs[start : start + AT_ONCE], return_exceptions=True)
        progress(len(done), len(rows.inputs))
    failed = []
    for row, result in zip(rows.rows, done, strict=True):
        if isinstance(result, BaseException):
            if not isinstance(result, FlowError) or result.exit_code != 3:
                raise result
            failed.append((row[WHERE], result.message))
    values = [None if isinstance(result, BaseException) else result.value for result in done]
    lost = [isinstance(result, BaseException) for result in done]
    return Results(_chosen(rows, values, lost), failed)


def _chosen(rows: FlowRows, values: Sequence[Any], lost: Sequence[bool]) -> Chosen:
    """Values and what they should be as numbers of classes; and as numbers, where they are such."""
    places: dict[str, int] = {}
    right = [places.setdefault(_class(wanted, wanted), len(places)) for wanted in rows.expected]
    taken = [
        -1 if gone else places.setdefault(_class(value, wanted), len(places))
        for value, wanted, gone in zip(values, rows.expected, lost, strict=True)
    ]
    numbers = [np.nan if gone else _number(value) for value, gone in zip(values, lost, strict=True)]
    targets = [_number(wanted) for wanted in rows.expected]
    plain_bool = rows.flow.declaration.result == t.BOOL
    if plain_bool or None in numbers or None in targets:
        return Chosen(np.array(taken), np.array(right))
    return Chosen(np.array(taken), np.array(right), np.array(numbers, float), np.array(targets, float))


def _class(value: Any, wanted: Any) -> str:
    """What two values have in common that count as the same. A record is known by its name, too, and a number is true
    from one half on where a truth value is wanted."""
    if isinstance(value, Distribution):
        value = value.top
    if isinstance(value, float) and isinstance(wanted, bool):
        value = value >= 0.5
    if isinstance(value, BaseModel) and isinstance(wanted, str):
        return json.dumps(type(value).__name__)
    return json.dumps(plain(value), sort_keys=True)


def _number(value: Any) -> float | None:
    if isinstance(value, Distribution):
        known = all(isinstance(outcome, bool | int) for outcome in value.outcomes)
        return float(value.expected) if known else None
    return float(value) if isinstance(value, bool | int | float) else None

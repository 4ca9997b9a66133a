"""The `transformations` of an io.yaml, read: one function a rule, one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alora_flow.intrinsics.paths import Steps
from alora_flow.intrinsics.rules import (
    DecodeSentences,
    DropDuplicates,
    Explode,
    Likelihood,
    MergeSpans,
    Nest,
    Project,
    Rule,
)
from alora_flow.intrinsics.sentences import LOCATIONS
from alora_flow.intrinsics.yaml_file import Entry
from alora_flow.language.report.diagnostics import did_you_mean

UNCHANGED = ("output_name",)
"""What older libraries write in every rule: null for a value that keeps its name, and nothing else."""

Fields = Mapping[str, Entry]


def read_rules(entry: Entry) -> tuple[Rule, ...]:
    """Raises BadAdapter with the place of what is wrong."""
    return tuple(map(_rule, entry.items()))


def _rule(entry: Entry) -> Rule:
    fields = entry.fields()
    kind = _needed(entry, fields, "type")
    name = kind.text()
    if name not in RULES:
        raise kind.wrong(
            f"there is no transformation '{name}'", did_you_mean(name, RULES) or f"known are {', '.join(RULES)}"
        )
    needed, optional, make = RULES[name]
    unchanged = [field for field in UNCHANGED if field in fields and fields[field].null]
    fields = entry.fields(("type", "input_path", *needed, *optional, *unchanged))
    for field in ("input_path", *needed):
        _needed(entry, fields, field)
    return make(entry, _path(fields["input_path"]), fields)


def _needed(entry: Entry, fields: Fields, name: str) -> Entry:
    if name not in fields:
        raise entry.wrong(f"a transformation needs '{name}'")
    return fields[name]


def _path(entry: Entry) -> Steps:
    """`[]` is the root, null every element."""
    steps: list[str | int | None] = []
    for item in entry.items():
        value = item.plain()
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise item.unlike("a field's name, a place in a list, or null for every element")
        steps.append(value)
    return tuple(steps)


def _likelihood(entry: Entry, path: Steps, fields: Fields) -> Rule:
    given = fields["categories_to_values"]
    numbers = {name: number.number() for name, number in given.fields().items()}
    if not numbers:
        raise given.wrong("'categories_to_values' must name what may be written")
    return Likelihood(entry.place, path, {name: float(number) for name, number in numbers.items()})


def _decode_sentences(entry: Entry, path: Steps, fields: Fields) -> Rule:
    if not path or not isinstance(path[-1], str):
        raise fields["input_path"].wrong("'input_path' must end in the field that holds a sentence's number")
    listed = fields["source"].items() if fields["source"].kind == "seq" else [fields["source"]]
    for source in listed:
        if source.text() not in LOCATIONS:
            raise source.unlike(f"one of {', '.join(LOCATIONS)}")
    names = fields["output_names"].fields(tuple(DecodeSentences.HOLDS))
    made = {what: name.text() for what, name in names.items() if not name.null}
    return DecodeSentences(entry.place, path, tuple(source.text() for source in listed), made)


def _project(entry: Entry, path: Steps, fields: Fields) -> Rule:
    given = fields["retained_fields"]
    if given.kind == "seq":
        return Project(entry.place, path, {item.text(): item.text() for item in given.items()})
    return Project(entry.place, path, {name: item.text() for name, item in given.fields().items()})


def _merge_spans(entry: Entry, path: Steps, fields: Fields) -> Rule:
    text = fields.get("text_field")
    return MergeSpans(
        entry.place,
        path,
        _texts(fields["group_fields"]),
        fields["begin_field"].text(),
        fields["end_field"].text(),
        None if text is None or text.null else text.text(),
    )


def _texts(entry: Entry) -> tuple[str, ...]:
    return tuple(item.text() for item in entry.items())


RULES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Entry, Steps, Fields], Rule]]] = {
    "likelihood": (("categories_to_values",), (), _likelihood),
    "nest": (("field_name",), (), lambda e, path, f: Nest(e.place, path, f["field_name"].text())),
    "decode_sentences": (("source", "output_names"), (), _decode_sentences),
    "explode": (("target_field",), (), lambda e, path, f: Explode(e.place, path, f["target_field"].text())),
    "drop_duplicates": (
        ("target_fields",),
        (),
        lambda e, path, f: DropDuplicates(e.place, path, _texts(f["target_fields"])),
    ),
    "project": (("retained_fields",), (), _project),
    "merge_spans": (("group_fields", "begin_field", "end_field"), ("text_field",), _merge_spans),
}
"""Name → what it needs beside its path, what it may have, and how it is read."""

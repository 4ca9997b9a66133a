"""`io.yaml`: the contract that an intrinsics library ships beside an adapter.

Read as a whole and at once: every mistake in it is a BadAdapter with line and column. docs/intrinsics.md says what each
field means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from alora_flow.errors import BadAdapter
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.parameters import read_parameters, schemas
from alora_flow.intrinsics.paths import BadRule
from alora_flow.intrinsics.rules import DecodeSentences, Likelihood, Rule
from alora_flow.intrinsics.rules_file import read_rules
from alora_flow.intrinsics.sentences import LOCATIONS, Marks
from alora_flow.intrinsics.shapes import BadSchema, Shape, closed, shape_of
from alora_flow.intrinsics.yaml_file import Entry, read_yaml
from alora_flow.language.meaning import types as t

REQUIRED = ("model", "response_format", "transformations")
OPTIONAL = ("name", "instruction", "parameters", "sentence_boundaries", "docs_as_message", "logprobs_workaround")
AS_MESSAGE = ("string", "json", "roles")
LAST_MESSAGE = "last_message"


@dataclass(frozen=True)
class IoYaml:
    """What the file says.

    schema: JSON Schema of the answer, None for text; `place`: where it stands. rules: what is made of the answer, in
    order; `shape`: what they make of it, None where that is not known. instruction: a last user's message, its texts
    and the names of the arguments between them; None for none. settings: of sampling, by the names of `with (…)`.
    marks: tags of sentences by location. documents: how they become messages. final_channel: read what stands in a
    `final` channel.
    """

    path: Path
    place: str
    schema: Mapping[str, Any] | None
    rules: tuple[Rule, ...]
    shape: Shape
    instruction: tuple[str | Placeholder, ...] | None
    settings: Mapping[str, Any]
    marks: Marks
    documents: str | None
    final_channel: bool

    @property
    def categories(self) -> Mapping[str, float] | None:
        """For text that is one of a few: the numbers that they stand for, by the `likelihood` at the root."""
        first = self.rules[0] if self.rules else None
        return first.numbers if self.schema is None and isinstance(first, Likelihood) and not first.path else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names that the instruction asks its caller for, each once."""
        names = (part.name for part in self.instruction or () if isinstance(part, Placeholder))
        return tuple(dict.fromkeys(name for name in names if name != LAST_MESSAGE))

    @property
    def rewrites(self) -> bool:
        """Does it change what stands before its own message, so that nothing of that is shared?"""
        return bool(self.marks or self.documents)

    @property
    def weighed(self) -> bool:
        """Does it ask for probabilities?"""
        return any(isinstance(rule, Likelihood) for rule in self.rules)


@dataclass(frozen=True)
class Placeholder:
    """`{requirement}` in an instruction."""

    name: str


def read_io_yaml(folder: Path) -> IoYaml:
    """Raises BadAdapter with the place of what is missing, unknown, wrong or contradicts itself."""
    path = folder / "io.yaml"
    if not path.is_file():
        raise BadAdapter(f"{folder} has no io.yaml", "write the intrinsic in full: adapter, emits, value")
    root = read_yaml(path)
    fields = root.fields((*REQUIRED, *OPTIONAL))
    for key in REQUIRED:
        if key not in fields:
            raise root.wrong(f"the key '{key}' is missing", f"write '{key}: ~' where there is nothing to say")
    given = {name: entry for name, entry in fields.items() if not entry.null}
    for name in ("model", "name"):
        if name in given:
            given[name].text()
    said = _schema_entry(given)
    schema = None if said is None else _schema(said)
    rules = read_rules(given["transformations"]) if "transformations" in given else ()
    marks = _marks(given["sentence_boundaries"]) if "sentence_boundaries" in given else {}
    _check_sources(rules, marks)
    return IoYaml(
        path,
        (said or root).place,
        schema,
        rules,
        _reshaped(said, schema, rules),
        _instruction(given["instruction"]) if "instruction" in given else None,
        read_parameters(given["parameters"]) if "parameters" in given else {},
        marks,
        _documents(given["docs_as_message"]) if "docs_as_message" in given else None,
        "logprobs_workaround" in given and given["logprobs_workaround"].flag(),
    )


def _schema_entry(given: Mapping[str, Entry]) -> Entry | None:
    """What says the schema of the answer: a key of the file, or one of the parameters that a server would get."""
    among = [*schemas(given["parameters"])] if "parameters" in given else []
    found = [*filter(None, [given.get("response_format")]), *among]
    if len(found) > 1:
        raise found[1].wrong("the answer has a schema already", f"it stands in {found[0].place}: leave out one of them")
    return found[0] if found else None


def _schema(entry: Entry) -> Mapping[str, Any]:
    """A JSON Schema, as a text of JSON or as YAML, bare or as OpenAI wraps one."""
    if entry.kind == "str":
        try:
            read = json.loads(entry.text())
        except (ValueError, RecursionError) as error:
            raise entry.wrong(f"'{entry.name}' is no JSON: {error}") from error
    else:
        entry.fields()
        read = entry.plain()
    if isinstance(read, dict) and read.get("type") == "json_schema" and isinstance(read.get("json_schema"), dict):
        read = read["json_schema"].get("schema")
    if not isinstance(read, dict) or not read:
        raise entry.wrong(f"'{entry.name}' must be a JSON Schema, an object", 'such as {"type": "object", …}')
    try:
        made: Mapping[str, Any] = closed(read)
    except RecursionError:
        raise entry.wrong(f"'{entry.name}' is nested too deeply") from None
    return made


def _reshaped(entry: Entry | None, schema: Mapping[str, Any] | None, rules: tuple[Rule, ...]) -> Shape:
    """What the rules make of the answer. Without a schema it is a text, or JSON that only the rules know of."""
    shape: Shape = t.STR if not rules else None
    if schema is not None and entry is not None:
        try:
            shape = shape_of(schema)
        except BadSchema as error:
            raise entry.wrong(f"'{entry.name}': {error}") from error
        except RecursionError:
            raise entry.wrong(f"'{entry.name}' is nested too deeply") from None
    for number, rule in enumerate(rules):
        try:
            at_root = schema is None and number == 0 and isinstance(rule, Likelihood) and not rule.path
            shape = rule.form(t.STR) if at_root else rule.reshape(shape)
        except BadRule as error:
            raise BadAdapter(f"{rule.place}: {rule.kind}: {error}") from error
    return shape


def _check_sources(rules: tuple[Rule, ...], marks: Marks) -> None:
    for rule in rules:
        missing = (
            [source for source in rule.sources if source not in marks] if isinstance(rule, DecodeSentences) else []
        )
        if missing:
            raise BadAdapter(
                f"{rule.place}: decode_sentences: the sentences of '{missing[0]}' have no numbers",
                f"add '{missing[0]}' to sentence_boundaries",
            )


def _marks(entry: Entry) -> Marks:
    if entry.kind == "bool" and not entry.flag():
        return {}
    found = {location: tag for location, tag in entry.fields(LOCATIONS).items() if not tag.null}
    for tag in found.values():
        if not tag.text().replace("_", "").isalpha():
            raise tag.unlike("letters")
    return {location: tag.text() for location, tag in found.items()}


def _documents(entry: Entry) -> str | None:
    if entry.kind == "bool" and not entry.flag():
        return None
    if entry.text() not in AS_MESSAGE:
        raise entry.unlike(f"one of {', '.join(AS_MESSAGE)}")
    return entry.text()


def _instruction(entry: Entry) -> tuple[str | Placeholder, ...]:
    """A text with plain names in braces, as Python's `str.format` takes it."""
    parts: list[str | Placeholder] = []
    try:
        for text, name, form, conversion in Formatter().parse(entry.text()):
            if text:
                parts.append(text)
            if name is None:
                continue
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"only a plain name may stand in braces, not {{{name}{form and ':'}{form}}}")
            parts.append(Placeholder(name))
    except ValueError as error:
        raise entry.wrong(
            f"'instruction': {error}", "a brace that is meant as one is written twice: {{ and }}"
        ) from error
    return tuple(parts)

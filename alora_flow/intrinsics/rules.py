"""The transformations of an io.yaml: from the JSON that an adapter wrote to what its library promises.

Each rule says what it makes of a value (`change`) and of a shape (`form`), so that a wrong one is found before a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from alora_flow.errors import RunFailed
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.likelihood import Path, TokenizedAnswer, literals, written
from alora_flow.intrinsics.paths import BadRule, Steps, changed, fields_of, fields_of_elements, having, reshaped
from alora_flow.intrinsics.sentences import Sentence
from alora_flow.intrinsics.shapes import Shape, record, shown
from alora_flow.language.meaning import types as t


@dataclass(frozen=True)
class Answer:
    """What rules may ask: the tokens of the answer, the sentences of each location that were numbered, and what
    log-probabilities are divided by."""

    tokens: TokenizedAnswer
    sentences: Mapping[str, Mapping[int, Sentence]]
    temperature: float = 1.0


@dataclass(frozen=True)
class Rule:
    """`place`: where it stands in its file."""

    place: str
    path: Steps
    kind: ClassVar[str]

    def apply(self, root: Any, answer: Answer) -> Any:
        """The JSON with this rule applied wherever its path leads. Raises RunFailed."""
        return changed(root, self.path, lambda value, at: self.change(value, at, answer))

    def reshape(self, root: Shape) -> Shape:
        """The same for a shape. Raises BadRule."""
        return reshaped(root, self.path, self.form)

    def change(self, value: Any, at: Path, answer: Answer) -> Any:
        raise NotImplementedError

    def form(self, shape: t.Type) -> Shape:
        raise NotImplementedError

    def failed(self, message: str) -> RunFailed:
        """The error of a run."""
        return RunFailed(f"{self.place}: {self.kind}: {message}")

    def records(self, value: Any) -> list[dict[str, Any]]:
        """A list of records. Raises RunFailed for anything else."""
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.failed(f"{value!r} is no list of records")
        return value


@dataclass(frozen=True)
class Likelihood(Rule):
    """A literal becomes the mean of the numbers that stand for what might have been written in its place."""

    numbers: Mapping[str, float]
    kind = "likelihood"

    def change(self, value: Any, at: Path, answer: Answer) -> float:
        places = literals(answer.tokens.text)
        if at not in places or isinstance(value, dict | list):
            raise self.failed(f"{value!r} does not stand in {answer.tokens.text!r} where this rule looks for it")
        mean = answer.tokens.expected(places[at], written(value), self.numbers, answer.temperature)
        return self.numbers.get(written(value), 0.0) if mean is None else mean

    def form(self, shape: t.Type) -> Shape:
        texts = shape.members if isinstance(shape, t.EnumType) else ()
        if isinstance(shape, t.RecordType | t.ListType):
            raise BadRule(f"it takes a text, a number or a truth value, not {shown(shape)}")
        if texts and not set(texts) & set(self.numbers):
            raise BadRule(f"none of {', '.join(self.numbers)} is ever written there, only {shown(shape)}")
        return t.FloatType(min(self.numbers.values()), max(self.numbers.values()))


@dataclass(frozen=True)
class Nest(Rule):
    """A value becomes a record with it as its only field."""

    field_name: str
    kind = "nest"

    def change(self, value: Any, at: Path, answer: Answer) -> dict[str, Any]:
        return {self.field_name: value}

    def form(self, shape: t.Type) -> Shape:
        return record({self.field_name: (shape, True)})


@dataclass(frozen=True)
class DecodeSentences(Rule):
    """Beside a sentence's number come its place and text. `names`: the new fields' by what they hold."""

    sources: tuple[str, ...]
    names: Mapping[str, str]
    kind = "decode_sentences"

    HOLDS: ClassVar[Mapping[str, t.Type]] = {
        "begin": t.IntType(0),
        "end": t.IntType(0),
        "text": t.STR,
        "document_id": t.STR,
        "message_index": t.IntType(0),
    }

    def apply(self, root: Any, answer: Answer) -> Any:
        return changed(root, self.path[:-1], lambda value, at: self.change(value, at, answer))

    def reshape(self, root: Shape) -> Shape:
        return reshaped(root, self.path[:-1], self.form)

    def change(self, value: Any, at: Path, answer: Answer) -> Any:
        name = self.path[-1]
        if not isinstance(value, dict) or name not in value:
            return value
        number = value[name]
        found: Sentence | None = None
        if isinstance(number, int) and not isinstance(number, bool):
            known = (answer.sentences.get(source, {}).get(number) for source in self.sources)
            found = next((sentence for sentence in known if sentence is not None), None)
        if found is None:
            raise self.failed(f"{name} is {number!r}, and no sentence of {', '.join(self.sources)} has that number")
        return {**value, **{named: getattr(found, what) for what, named in self.names.items()}}

    def form(self, shape: t.Type) -> Shape:
        name = self.path[-1]
        if not isinstance(shape, t.RecordType) or shape.find(str(name)) is None:
            raise BadRule(f"there is no {name!r} in {shown(shape)}")
        number = shape.find(str(name))
        if number is not None and not isinstance(number.type, t.IntType | t.NeverType):
            raise BadRule(f"{name!r} must be a sentence's number, not {shown(number.type)}")
        added = {named: (self._held(what), True) for what, named in self.names.items()}
        return record({**fields_of(shape), **added})

    def _held(self, what: str) -> t.Type:
        """Of several sources, documents have no message, and messages no document."""
        sometimes = what in ("document_id", "message_index") and len(self.sources) > 1
        return t.OptionalType(self.HOLDS[what]) if sometimes else self.HOLDS[what]


@dataclass(frozen=True)
class Explode(Rule):
    """A record with a list becomes as many records with an element of it each."""

    target_field: str
    kind = "explode"

    def change(self, value: Any, at: Path, answer: Answer) -> list[Any]:
        name, made = self.target_field, []
        for item in self.records(value):
            if not isinstance(item.get(name), list):
                raise self.failed(f"{name!r} of {item!r} is no list")
            made += [{**item, name: element} for element in item[name]]
        return made

    def form(self, shape: t.Type) -> Shape:
        fields = fields_of_elements(shape, (self.target_field,))
        inner = fields.get(self.target_field, (None, True))[0]
        if inner is not None and not isinstance(inner, t.ListType | t.NeverType):
            raise BadRule(f"{self.target_field!r} must be a list, not {shown(inner)}")
        element = inner.element if isinstance(inner, t.ListType) else None
        return t.ListType(record({**fields, self.target_field: (element, True)})) if fields else shape


@dataclass(frozen=True)
class DropDuplicates(Rule):
    """Of records that are alike in some fields the last one stays."""

    target_fields: tuple[str, ...]
    kind = "drop_duplicates"

    def change(self, value: Any, at: Path, answer: Answer) -> list[Any]:
        kept: dict[str, Any] = {}
        for item in self.records(value):
            missing = next((name for name in self.target_fields if name not in item), None)
            if missing is not None:
                raise self.failed(f"{item!r} has no {missing!r}")
            kept[repr([item[name] for name in self.target_fields])] = item
        return list(kept.values())

    def form(self, shape: t.Type) -> Shape:
        fields_of_elements(shape, self.target_fields)
        return shape


@dataclass(frozen=True)
class Project(Rule):
    """Of a record, or of each of a list, some fields stay. `retained`: their new names by the old ones."""

    retained: Mapping[str, str]
    kind = "project"

    def change(self, value: Any, at: Path, answer: Answer) -> Any:
        if isinstance(value, dict):
            return {new: value.get(old) for old, new in self.retained.items()}
        return [{new: item.get(old) for old, new in self.retained.items()} for item in self.records(value)]

    def form(self, shape: t.Type) -> Shape:
        if isinstance(shape, t.ListType):
            return shape if shape.element == t.NEVER else t.ListType(self._kept(shape.element))
        return self._kept(shape)

    def _kept(self, shape: t.Type) -> t.Type:
        fields = having(shape, tuple(self.retained))
        return record({new: fields[old] for old, new in self.retained.items()})


@dataclass(frozen=True)
class MergeSpans(Rule):
    """Spans of a group that lie side by side become one."""

    group_fields: tuple[str, ...]
    begin_field: str
    end_field: str
    text_field: str | None
    kind = "merge_spans"

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.group_fields, self.begin_field, self.end_field, *filter(None, [self.text_field]))

    def change(self, value: Any, at: Path, answer: Answer) -> list[Any]:
        made: list[dict[str, Any]] = []
        for item in sorted(map(self._checked, self.records(value)), key=self._order):
            last = made[-1] if made else None
            same = last is not None and self._group(last) == self._group(item)
            if last is None or not same or last[self.end_field] < item[self.begin_field]:
                made.append(dict(item))
            elif last[self.end_field] > item[self.begin_field]:
                raise self.failed(f"{last!r} and {item!r} overlap")
            else:
                last[self.end_field] = item[self.end_field]
                if self.text_field:
                    last[self.text_field] += item[self.text_field]
        return made

    def _checked(self, item: dict[str, Any]) -> dict[str, Any]:
        odd = next((name for name in item if name not in self._names), None)
        if odd is not None:
            raise self.failed(f"{item!r} has {odd!r} beside its group and its span")
        for name, kind in ((self.begin_field, int), (self.end_field, int), (self.text_field, str)):
            if name and not isinstance(item.get(name), kind):
                raise self.failed(f"{name!r} of {item!r} is missing or of the wrong kind")
        return item

    def _group(self, item: dict[str, Any]) -> str:
        return repr([item.get(name) for name in self.group_fields])

    def _order(self, item: dict[str, Any]) -> tuple[Any, ...]:
        """By group, what is null first, then by place."""
        keys = [item.get(name) for name in self.group_fields]
        return (
            *((key is not None, type(key).__name__, 0 if key is None else key) for key in keys),
            item[self.begin_field],
        )

    def form(self, shape: t.Type) -> Shape:
        fields = fields_of_elements(shape, self._names)
        odd = next((name for name in fields if name not in self._names), None)
        if odd is not None:
            raise BadRule(f"{odd!r} is neither of the group nor of the span")
        return shape

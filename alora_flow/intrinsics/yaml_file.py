"""A YAML file whose every value knows where it stands, so that what is wrong in it is named with line and column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from alora_flow.errors import BadAdapter
from alora_flow.frozen import dataclass
from alora_flow.language.report.diagnostics import did_you_mean

MOST_BYTES, MOST_VALUES = 1 << 20, 100_000
"""What a file may hold, what its aliases stand for counted each time: a few lines of aliases can mean millions."""

MOST_NUMBER = 10**18
"""A number lies between this and its negative."""

PLAIN = {"null": "null", "bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date"}
KINDS: Mapping[type, str] = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}
"""What a value is, for people."""


@dataclass(frozen=True)
class Entry:
    """One value of a file. Whatever reads it raises BadAdapter with its place where it is not what it must be."""

    path: Path
    node: yaml.Node
    name: str = ""

    @property
    def place(self) -> str:
        """`folder/io.yaml:3:7`, line and column from 1."""
        mark = self.node.start_mark
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}"

    @property
    def null(self) -> bool:
        return self.kind == "null"

    @property
    def found(self) -> str:
        """What it is, as it is written where that is short."""
        if isinstance(self.node, yaml.ScalarNode):
            said = f"'{self.node.value}'" if self.node.value.strip() and len(self.node.value) < 40 else ""
            return f"{PLAIN.get(self.kind, 'a text')} {said}".strip() if self.kind != "null" else "null"
        return KINDS.get(type(self.node), "a value")

    @property
    def kind(self) -> str:
        """`str`, `int`, `null` …: what YAML takes it for."""
        return str(self.node.tag).rpartition(":")[2]

    def wrong(self, message: str, help: str | None = None) -> BadAdapter:
        """The error to raise."""
        return BadAdapter(f"{self.place}: {message}", help)

    def unlike(self, expected: str, help: str | None = None) -> BadAdapter:
        """The error for a value of another kind."""
        subject = f"'{self.name}'" if self.name else "this"
        return self.wrong(f"{subject} must be {expected}, not {self.found}", help)

    def fields(self, known: Collection[str] | None = None) -> Mapping[str, Entry]:
        """A mapping's values by name. `known`: the names that it may have; None for any."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.unlike("a mapping")
        found: dict[str, Entry] = {}
        for key, value in self.node.value:
            name = Entry(self.path, key)
            if not isinstance(key, yaml.ScalarNode):
                raise name.unlike("a name")
            if key.value in found:
                raise name.wrong(f"'{key.value}' stands here a second time")
            if known is not None and key.value not in known:
                help = did_you_mean(key.value, list(known)) or f"known are {', '.join(known)}"
                raise name.wrong(f"unknown key '{key.value}'", help)
            found[key.value] = Entry(self.path, value, key.value)
        return found

    def items(self) -> Sequence[Entry]:
        """A list's values."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.unlike("a list")
        return [Entry(self.path, item, self.name) for item in self.node.value]

    def text(self) -> str:
        """A string."""
        if self.kind != "str":
            raise self.unlike("a text", f'quote it: "{self.node.value}"' if self.kind in PLAIN else None)
        return str(self.node.value)

    def flag(self) -> bool:
        """True or false."""
        if self.kind != "bool":
            raise self.unlike("true or false")
        return bool(self.plain())

    def number(self) -> float:
        """A number, not too large."""
        value = self.plain()
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -MOST_NUMBER <= value <= MOST_NUMBER:
            raise self.unlike("a number")
        return float(value) if isinstance(value, float) else int(value)

    def plain(self) -> Any:
        """The value as Python's own: dictionaries, lists, strings, numbers."""
        try:
            return yaml.constructor.SafeConstructor().construct_document(self.node)
        except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise self.wrong(f"this can't be read: {str(error).partition(chr(10))[0]}") from None


def read_yaml(path: Path) -> Entry:
    """Raises BadAdapter for a file that can't be read, or is no YAML, or holds a boolean that is not spelled so."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadAdapter(f"{path} has more than {MOST_BYTES} bytes: this is no io.yaml")
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), yaml.SafeLoader)
    except OSError as error:
        raise BadAdapter(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadAdapter(f"{path} is not UTF-8 at byte {error.start}") from error
    except RecursionError:
        raise BadAdapter(f"{path} is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise BadAdapter(f"{path}{at}: this is no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise BadAdapter(f"{path} is no YAML: {str(error).partition(chr(10))[0]}") from error
    if node is None:
        raise BadAdapter(f"{path} is empty")
    found = Entry(path, node)
    _check_values(found)
    return found


def _check_values(root: Entry) -> None:
    waiting, count = [root.node], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise BadAdapter(f"{root.path} holds more than {MOST_VALUES} values, its aliases counted")
        if isinstance(node, yaml.ScalarNode):
            _check_spelling(Entry(root.path, node))
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)


def _check_spelling(entry: Entry) -> None:
    """`yes` without quotes is a boolean in YAML, and nobody means that."""
    if entry.node.tag == "tag:yaml.org,2002:bool" and entry.node.value.lower() not in ("true", "false"):
        raise entry.wrong(
            f"{entry.node.value} without quotes is true or false in YAML, not a text",
            f'write "{entry.node.value}", or true or false where a truth value is meant',
        )

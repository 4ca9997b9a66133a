"""A GGUF file as its metadata and its tensors, read by the gguf package; what is wrong with one has a name here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gguf import GGUFEndian, GGUFReader, GGUFValueType

from alora_runtime.errors import ModelError
from alora_runtime.foreign import AGAIN, what_it_is

Value = TypeVar("Value", str, int, float, bool)

KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
ORIGINAL = "the model's own checkpoint in safetensors can be served"
"""What to do where a GGUF file can't, but its architecture."""


class _Reader(GGUFReader):  # type: ignore[misc]
    """Tells a file's end from its values, where the package's own reads nothing and goes on."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        if offset + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise EOFError
        return super()._get(offset, dtype, count, override_order)


class GgufFile:
    """A whole file of a model. `tensors`: the reader's, by name."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is foreign, cut short, split, or no language model."""
        self.path = path
        with open(path, "rb") as opened:
            start = opened.read(4)
        if start != b"GGUF":
            told, help = what_it_is(path) or (f"it begins with {start!r}", None)
            raise ModelError(f"{path} is not a GGUF file: {told}", help)
        try:
            self._reader = _Reader(path)
        except EOFError:
            raise ModelError(
                f"{path} is cut short: it says more than its {path.stat().st_size} bytes hold", AGAIN
            ) from None
        except (ValueError, KeyError, IndexError, OverflowError, MemoryError) as error:
            raise ModelError(
                f"{path} cannot be read ({error}): it is damaged, or newer than the gguf package that is installed"
            ) from None
        self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self._check()

    def _check(self) -> None:
        native = GGUFEndian.LITTLE if sys.byteorder == "little" else GGUFEndian.BIG
        if self._reader.endianess != native:
            raise ModelError(
                f"{self.path} was made for machines of the other byte order", "convert the model for this one"
            )
        parts = self.get("split.count", int) or 1
        if parts > 1:
            raise ModelError(
                f"{self.path} is part {1 + (self.get('split.no', int) or 0)} of {parts}",
                "join them: llama-gguf-split --merge FIRST_PART WHOLE.gguf",
            )
        kind = self.get("general.type", str) or "model"
        if kind != "model":
            raise ModelError(f"{self.path} holds what GGUF calls {kind!r}, not a model")

    @property
    def keys(self) -> set[str]:
        """Of all metadata."""
        return set(self._reader.fields)

    def get(self, key: str, kind: type[Value]) -> Value | None:
        """A value of the metadata, None where it is not given. Raises ModelError where it is not of this kind."""
        value = self._contents(key)
        if value is None:
            return None
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ModelError(f"{self.path}: {key} must be {KINDS[kind]}, not {str(value)[:80]!r}")
        return value

    def need(self, key: str, kind: type[Value]) -> Value:
        """The same of a value that must be there."""
        value = self.get(key, kind)
        if value is None:
            raise ModelError(f"{self.path} lacks {key}: it was not written by a converter that llama.cpp knows")
        return value

    def many(self, key: str, kind: type[Value]) -> list[Value]:
        """A list of the metadata, empty where it is not given. Raises ModelError."""
        values = self._contents(key)
        if values is None:
            return []
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise ModelError(f"{self.path}: {key} must be a list, each {KINDS[kind]}")
        return values

    def _contents(self, key: str) -> Any:
        field = self._reader.get_field(key)
        if field is None:
            return None
        if field.types[:1] == [GGUFValueType.ARRAY] and not field.data:
            return []
        try:
            return field.contents()
        except UnicodeDecodeError:
            raise ModelError(f"{self.path}: {key} is not UTF-8; the file is damaged") from None

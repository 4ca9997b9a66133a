"""What an engine is made with: the types of its arguments. Which names and sizes there are is known where they are
used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from alora_runtime.errors import AdapterError, CapacityError, EngineError, ModelError, RequestError, shown
from alora_runtime.validation import integer, number, truth

CACHE_TOKENS = 32_768
"""Tokens that the arena holds, where the caller says nothing else."""

N = TypeVar("N", bool, int, float)


def whole(field: str, value: object) -> int:
    """A size. Raises CapacityError for what is no integer; those of numpy and torch are."""
    return _told(integer, field, value)


def optional(field: str, value: object) -> int | None:
    """A size, or None. Raises CapacityError."""
    return None if value is None else whole(field, value)


def slots_of(slot_bytes: int, tokens: int | None, most_bytes: int | None) -> int:
    """Tokens that an arena holds: so many, or as many as so many bytes take, or the smaller of both. slot_bytes: of one
    token. Raises CapacityError where there is room for none."""
    if most_bytes is None:
        return CACHE_TOKENS if tokens is None else tokens
    fitting = most_bytes // slot_bytes - 1
    if fitting < 1:
        raise CapacityError(f"cache_bytes must be at least {2 * slot_bytes}, for one token, not {most_bytes}")
    return fitting if tokens is None else min(tokens, fitting)


def seconds(field: str, value: object) -> float:
    """A time. Raises CapacityError for what is no number."""
    return _told(number, field, value)


def flag(field: str, value: object) -> bool:
    """A switch. Raises CapacityError for what is neither true nor false."""
    return _told(truth, field, value)


def _told(convert: Callable[[str, object], N], field: str, value: object) -> N:
    try:
        return convert(field, value)
    except RequestError as error:
        raise CapacityError(str(error)) from None


def check_arguments(model_dir: object, adapters: object, names: Mapping[str, object], progress: object) -> None:
    """`names`: arguments that are names of something. Raises ModelError, and AdapterError for what adapters are not."""
    _check_path("model_dir", model_dir, ModelError)
    for field, name in names.items():
        if not isinstance(name, str):
            raise ModelError(f"{field} must be a name, not {shown(name)}")
    if progress is not None and not callable(progress):
        raise ModelError(f"progress must be callable, and {shown(progress)} is not")
    if adapters is not None and not isinstance(adapters, Mapping):
        raise AdapterError(f"adapters must be folders by name, not {shown(adapters)}")


def check_adapter(name: object, folder: object) -> None:
    """Raises AdapterError where this is no name, or no path."""
    if not isinstance(name, str) or not name:
        raise AdapterError(f"an adapter's name must be a text, not {shown(name)}")
    _check_path(f"the folder of adapter {name!r}", folder, AdapterError)


def _check_path(what: str, path: object, error: type[EngineError]) -> None:
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
        raise error(f"{what} must be a path, not {shown(path)}")

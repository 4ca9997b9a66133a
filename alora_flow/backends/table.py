"""The backends by name. A further one is its file and a line here; your own is named `package.module:factory`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import signature

from alora_flow.backends.base import MEMBERS, Backend, OpenBackend
from alora_flow.errors import BadInput, BadUsage
from alora_flow.planning.setup import Setup

BACKENDS: Mapping[str, str] = {
    "torch": "alora_flow.backends.torch_engine:open_engine",
    "echo": "alora_flow.backends.echo:open_echo",
}
"""Name → module and function that opens it."""


class Opener:
    """Opens the backend of a name, which is looked up at once; name and size go along into another process."""

    def __init__(self, name: str, cache_tokens: int | None = None) -> None:
        """cache_tokens: how many the cache shall hold; None leaves it to the backend.

        Raises BadUsage for an unknown name, or a backend that has no such size; BadInput for a function that is not
        there.
        """
        self.name, self.cache_tokens = name, cache_tokens
        self._open = find_factory(name)
        if cache_tokens is not None and "cache_tokens" not in signature(self._open).parameters:
            raise BadUsage(f"backend '{name}' has no cache whose size can be set", "leave cache_tokens out")

    def __call__(self, setup: Setup) -> Backend:
        """Raises BadInput where the function gives something that is not a backend."""
        size = {} if self.cache_tokens is None else {"cache_tokens": self.cache_tokens}
        return checked(self._open(setup, **size), self.name)

    def __reduce__(self) -> tuple[type[Opener], tuple[str, int | None]]:
        return Opener, (self.name, self.cache_tokens)


def find_factory(name: str) -> OpenBackend:
    """The function that opens a backend. Raises BadUsage for an unknown name, BadInput for one that leads nowhere."""
    reference = BACKENDS.get(name, name)
    module_name, colon, function_name = reference.partition(":")
    if not colon:
        close = get_close_matches(name, BACKENDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"backends: {', '.join(BACKENDS)}, or package.module:factory"
        raise BadUsage(f"there is no backend '{name}'", hint)
    try:
        factory = getattr(import_module(module_name), function_name, None)
    except ImportError as error:
        raise BadInput(f"backend '{name}': cannot import '{module_name}': {error}") from error
    if not callable(factory):
        raise BadInput(f"backend '{name}': '{module_name}' has no function '{function_name}'")
    return factory  # type: ignore[no-any-return]


def checked(backend: Backend, name: str) -> Backend:
    """The same. Raises BadInput where it lacks a part of what a backend is."""
    missing = [member for member in MEMBERS if not hasattr(backend, member)]
    if missing:
        raise BadInput(f"backend '{name}' gave a {type(backend).__name__}, which has no {', '.join(missing)}")
    return backend

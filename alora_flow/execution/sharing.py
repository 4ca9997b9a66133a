"""One engine for all modules that run on the same model with the same settings.

Its weights and its cache are there once; and since a ledger says what a cache holds, they share the conductor too. It
goes with the last module that is closed or collected. Adapters are known by their content, so that two files may call
different ones alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from alora_flow.backends.base import Backend, OpenBackend
from alora_flow.backends.deferred import Deferred
from alora_flow.backends.table import Opener
from alora_flow.execution.attendant import Attendant
from alora_flow.execution.conductor import Conductor
from alora_flow.planning.setup import Setup

SHARED = ("torch",)
"""Backends that hold what is worth sharing, by name; they have `admit`. What a caller opens himself is his alone."""

Key = tuple[object, ...]


@dataclass
class Host:
    """Where runs are performed: a conductor on a backend, and a thread for runs that nobody waits for in one of his."""

    conductor: Conductor
    attendant: Attendant
    users: int = 0

    @property
    def opened(self) -> Backend:
        """What computes. Raises what opening it raises."""
        backend = self.conductor.backend
        assert isinstance(backend, Deferred)
        return backend.opened

    def retire(self) -> None:
        """Nobody runs anything here any more; what is under way goes on to its end."""
        self.attendant.close()
        self.conductor.retire()

    def admit(self, setup: Setup) -> None:
        """Let a shared backend have what a setup needs. Raises what opening it, or loading an adapter, raises."""
        admit: Callable[[Setup], None] | None = getattr(self.opened, "admit", None)
        if admit is not None:
            self.conductor.between_steps(partial(admit, setup))


_HOSTS: dict[Key, Host] = {}
_LOCK = threading.RLock()  # a collected module may give its share back at any line of this thread


def shares(open_backend: OpenBackend, shared: bool) -> bool:
    """Is a backend one for all modules on its model? Then the model must be known to find it."""
    return shared and isinstance(open_backend, Opener) and open_backend.name in SHARED


def find_host(setup: Setup, open_backend: OpenBackend, shared: bool) -> tuple[Host, Callable[[], None]]:
    """A host to run on, and what gives it back: to be called once, from whatever thread."""
    if not (isinstance(open_backend, Opener) and shares(open_backend, shared)):
        host = _new(setup, open_backend)
        return host, host.retire
    key = _key(setup, open_backend)
    with _LOCK:
        # Each user's adapters are loaded when it first runs: a broken one is no other user's trouble.
        host = _HOSTS.get(key) or _new(setup.bare(), open_backend)
        host.users += 1
        _HOSTS[key] = host
    return host, partial(_give_back, key, host)


def _new(setup: Setup, open_backend: OpenBackend) -> Host:
    conductor = Conductor(Deferred(partial(open_backend, setup)), setup)
    return Host(conductor, Attendant(conductor))


def _give_back(key: Key, host: Host) -> None:
    with _LOCK:
        host.users -= 1
        if not host.users:
            _HOSTS.pop(key, None)
            host.retire()


def _key(setup: Setup, opener: Opener) -> Key:
    """What makes an engine another one: backend, size of the cache, and the model's files as they are now."""
    folder = setup.model.folder.resolve()
    files = sorted((file.name, file.stat()) for file in folder.iterdir() if file.is_file())
    return opener.name, opener.cache_tokens, folder, *((name, stat.st_size, stat.st_mtime_ns) for name, stat in files)

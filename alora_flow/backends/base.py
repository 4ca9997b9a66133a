"""What a flow runs on: anything that takes requests and hands back completions."""

from __future__ import annotations

from typing import Protocol

from alora_runtime.requests import Completion, Request


class Backend(Protocol):
    """The seam between a flow and an engine; the torch engine is one as it is."""

    @property
    def cache_tokens(self) -> int:
        """How many tokens the cache holds."""
        ...

    def submit(self, request: Request) -> int:
        """Take a request and give a ticket for it. Raises alora_runtime.errors.EngineError on a bad one."""
        ...

    def step(self) -> list[tuple[int, Completion]]:
        """Work for a moment; the requests that were finished by it."""
        ...

    @property
    def busy(self) -> bool:
        """Is there a request that is not finished?"""
        ...

    def cancel(self, ticket: int) -> None:
        """Drop a request."""
        ...

    def forget(self) -> None:
        """Empty the prefix cache; only while nothing is under way."""
        ...

"""How far a command is, on a terminal's last line."""

from __future__ import annotations

import sys
from types import TracebackType

import click


class Counted:
    """`120/600 rows` on stderr, where that is a terminal; gone at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Counted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            click.echo(f"\r\x1b[K{done}/{total} {self._what}", err=True, nl=False, color=True)

    def clear(self) -> None:
        """Make room for other output."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)

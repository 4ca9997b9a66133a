"""The `alora-flow` command: in this process, where torch is imported already, or in one of its own as a user has it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from alora_flow.cli.main import main

HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


def hearing_interrupts(command: Sequence[str | Path]) -> list[str]:
    """A command that heeds Ctrl-C: whoever runs the tests in the background has a shell that lets them, and all that
    they start, ignore it. A `preexec_fn` would copy this whole process first, for which there may be no memory."""
    return [sys.executable, "-c", HEARING, *map(str, command)]


class Done(NamedTuple):
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def warm(*arguments: str, cwd: Path | None = None) -> Done:
    """Run the command here, from `sys.argv` to its exit code."""
    out, err = io.StringIO(), io.StringIO()
    code = _run(arguments, cwd, out, err)
    return Done(code, out.getvalue(), err.getvalue())


def screen(*arguments: str, cwd: Path | None = None) -> str:
    """Run the command here: what a person sees of both streams on a terminal of 80 columns without colours."""
    both = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}):
        _run(arguments, cwd, both, both)
    return both.getvalue()


def _run(arguments: tuple[str, ...], cwd: Path | None, out: io.StringIO, err: io.StringIO) -> int:
    with (
        contextlib.chdir(cwd or Path.cwd()),
        mock.patch.object(sys, "argv", ["alora-flow", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def cold(*arguments: str, cwd: Path | None = None, stdin: str = "") -> Done:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [Path(sys.executable).parent / "alora-flow", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        input=stdin,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)

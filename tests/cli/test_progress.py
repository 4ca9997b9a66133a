"""What `alora-flow run` shows while it works: the text as it is written, on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command import hearing_interrupts

FLOW = 'model base = "mini"\nflow told() -> str {\n  let r = generate() on user("all of it")\n  return r.text\n}\n'
RUN = ["run", "told.flow", "--backend", "tests.cli.waiting_backend:open_waiting"]


class Terminal:
    """What a person sees of a command's stderr."""

    def __init__(self, process: subprocess.Popen[str], screen: int) -> None:
        self.process, self._screen, self.seen = process, screen, ""

    def wait_for(self, text: str) -> None:
        """Read on until it is there, for a minute at most."""
        until = time.monotonic() + 60
        while text not in self.seen and time.monotonic() < until and self._read(1):
            pass
        assert text in self.seen

    def rest(self) -> str:
        """All that it says until it ends."""
        while self._read(60):
            pass
        return self.seen

    def _read(self, seconds: float) -> bool:
        if not select.select([self._screen], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            found = os.read(self._screen, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += found.decode(errors="replace")
        return bool(found)


@contextmanager
def terminal(folder: Path, *options: str) -> Iterator[Terminal]:
    (folder / "told.flow").write_text(FLOW)
    screen, other = pty.openpty()
    environment: dict[str, Any] = {
        **os.environ,
        "TERM": "xterm",
        "COLUMNS": "80",
        "LINES": "40",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [Path(sys.executable).parent / "alora-flow", *RUN, *options]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": other}
    given: dict[str, Any] = {"cwd": folder, "env": environment, "text": True}
    with subprocess.Popen(hearing_interrupts(command), **given, **pipes) as process:
        os.close(other)
        try:
            yield Terminal(process, screen)
        finally:
            process.kill()
            os.close(screen)


def test_text_is_shown_while_it_is_written_and_stdout_has_the_result_alone(tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shown.wait_for(r"half\x1b[31m of it [bold]")
        (tmp_path / "go").touch()
        assert shown.process.stdout is not None
        assert shown.process.stdout.read() == "all of it\n"
        assert "kept" in shown.rest()
        assert "\x1b[31m" not in shown.seen
        assert shown.process.wait(60) == 0


def test_an_interrupt_while_text_is_written_ends_it_with_130(tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shown.wait_for("half")
        shown.process.send_signal(signal.SIGINT)
        assert "interrupted" in shown.rest()
        assert shown.process.wait(60) == 130
        assert shown.process.stdout is not None
        assert shown.process.stdout.read() == ""


@pytest.mark.parametrize("options", [["--quiet"], ["--quiet", "--json"]])
def test_quiet_shows_nothing(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "go").touch()
    with terminal(tmp_path, *options) as shown:
        assert shown.process.stdout is not None
        assert "all of it" in shown.process.stdout.read()
        assert shown.rest() == ""

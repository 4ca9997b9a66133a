"""`alora-flow`, and `python -m alora_flow`."""

from __future__ import annotations

import os
from importlib import import_module
from signal import SIGINT, default_int_handler, getsignal, signal
from types import FrameType


def main() -> None:
    """The console script. While the commands are being imported, Ctrl-C ends it as it ends them."""
    listens = getsignal(SIGINT) is default_int_handler  # not so where whoever began it has Ctrl-C ignored
    if listens:
        signal(SIGINT, _leave)
    command = import_module("alora_flow.cli.main").main
    if listens:
        signal(SIGINT, default_int_handler)
    command()


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()

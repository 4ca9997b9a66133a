"""A backend that writes half of an answer, and the other half when the file `go` is there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.planning.setup import Setup

HALF = "half\x1b[31m of it [bold]\n"


class Waiting(Echo):
    def submit(self, call: ModelCall) -> int:
        if call.write is not None:
            call.write(HALF)
        return super().submit(call)

    def step(self) -> list[tuple[int, Any]]:
        time.sleep(0.01)
        return super().step() if Path("go").exists() else []


def open_waiting(setup: Setup) -> Waiting:
    waiting = Waiting.__new__(Waiting)
    vars(waiting).update(vars(open_echo(setup)))
    return waiting

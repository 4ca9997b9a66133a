"""A thread that leads for runs that nobody waits for in a thread of his own: those of event loops, and streams."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from contextlib import suppress

from alora_flow.execution.conductor import Conductor
from alora_flow.execution.run import FlowRun

IDLE = 10.0
"""Seconds after which a thread without work ends; the next run starts a new one."""

LAST_STEP = 5.0
"""Seconds that the end of the process waits for the step under way: a thread that computes may not just vanish."""


class Attendant:
    """Performs runs on a conductor: `post` returns at once, and each run's `over` tells when it has ended."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._posted: list[FlowRun] = []
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def post(self, runs: Sequence[FlowRun]) -> None:
        """They run beside those of all threads."""
        self._conductor.enqueue(runs)
        with self._news:
            self._posted.extend(runs)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="alora-flow runs", daemon=True)
                _AT_WORK[self._thread] = self
                self._thread.start()
            self._news.notify()

    def close(self) -> None:
        """The thread ends with the last run that is posted."""
        with self._news:
            self._closing = True
            self._news.notify()

    def _work(self) -> None:
        while runs := self._next():
            with suppress(BaseException):  # each run has its error
                self._conductor.see_through(runs)

    def _next(self) -> list[FlowRun]:
        """What was posted since the last time; nothing where the thread shall end."""
        with self._news:
            self._news.wait_for(lambda: self._posted or self._closing, IDLE)
            runs, self._posted = self._posted, []
            if not runs and self._thread is not None:
                del _AT_WORK[self._thread]
                self._thread = None
        return runs

    def _stop(self, thread: threading.Thread) -> None:
        self.close()
        self._conductor.cancel_all()
        thread.join(LAST_STEP)


_AT_WORK: dict[threading.Thread, Attendant] = {}


@atexit.register
def _stop_all() -> None:
    for thread, attendant in list(_AT_WORK.items()):
        attendant._stop(thread)

"""Forks of a process in which torch has computed: its threads are missing there, and it waits for them for ever."""

from __future__ import annotations

import os

import torch

from alora_runtime.errors import BusyError

_COMPUTED: list[int] = []
"""The process that computed first, if any has."""


def check_fork() -> None:
    """Before a model is loaded or used by a new engine. Raises BusyError where several threads would have to compute in
    a fork of a process that has done so."""
    _COMPUTED[:] = _COMPUTED or [os.getpid()]
    if os.getpid() != _COMPUTED[0] and torch.get_num_threads() > 1:
        error = BusyError(
            f"this process is a fork of {_COMPUTED[0]}, which has loaded a model: torch would wait here for ever for "
            "threads that are missing",
            "start processes by spawn, or call torch.set_num_threads(1) in a fork first",
        )
        error.passing = False
        raise error

"""Where a training keeps its state: beside the adapter's folder, which appears when it is whole."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from alora_flow.errors import BadInput, RunFailed
from alora_flow.intrinsics.whole_files import write_whole
from alora_flow.training.fitting import TrainingState

LOG = "training.jsonl"
"""The log's name, while a training goes on and afterwards."""


class Work:
    """The folder of one training: its state, its log, and a lock as long as it goes on."""

    def __init__(self, adapter: Path, identity: str) -> None:
        """adapter: the folder that is to be written. identity: what the training depends on, as a text."""
        self.adapter, self.folder = adapter, adapter.with_name(f".{adapter.name}-training")
        self.digest = blake2b(identity.encode(), digest_size=16).hexdigest()

    @contextmanager
    def locked(self, again: bool) -> Iterator[None]:
        """Nobody else trains this adapter. again: begin anew, whatever is there.

        Raises BadInput where another training is under way, where the adapter is there already, and where one with
        other settings or rows was begun, and for a folder that can't be written. Where nothing was kept that could be
        gone on with, nothing is left.
        """
        if self.adapter.exists() and not again:
            raise BadInput(f"{self.adapter} is there already", "train it anew with --again, or move it")
        with ExitStack() as opened:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = opened.enter_context((self.folder / "lock").open("w"))
            except OSError as error:
                raise BadInput(
                    f"{self.adapter} can't be written: {error.strerror}", "give another folder: --library DIR"
                ) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadInput(f"another training of {self.adapter} is under way", "wait for it, or end it") from error
            if again:
                for path in (self.folder / "state.pt", self.folder / LOG):
                    path.unlink(missing_ok=True)
            elif (self.state or {}).get("digest", self.digest) != self.digest:
                raise BadInput(
                    f"a training of {self.adapter} was begun with other settings or other rows",
                    "give these again to go on with it, or begin anew with --again",
                )
            try:
                yield
            finally:
                if not self._state.exists():
                    self._clear()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raises RunFailed for what can't be written, as on a full disk."""
        try:
            yield
        except OSError as error:
            raise RunFailed(
                f"{error.filename or self.folder} can't be written: {error.strerror}",
                "make room, and give the same command again: what was learnt and kept so far is gone on with",
            ) from error

    @property
    def state(self) -> TrainingState | None:
        """What was written last. Nothing but tensors and plain data is read."""
        if not self._state.exists():
            return None
        try:
            found: TrainingState = torch.load(self._state, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise BadInput(f"{self._state} is damaged, or no state of a training", "begin anew with --again") from error
        return found

    @property
    def _state(self) -> Path:
        return self.folder / "state.pt"

    def keep(self, state: TrainingState) -> None:
        """Write the state; whoever is killed meanwhile leaves the last one."""
        written = BytesIO()  # torch's own writer says no more than that it failed
        torch.save({**state, "digest": self.digest}, written)
        write_whole(self._state, written.getvalue())

    def log(self, **facts: Any) -> None:
        """A line of the log."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")

    def logged(self, steps: int) -> list[dict[str, Any]]:
        """The log's lines, each step once, up to a step: what was done twice after a kill counts once."""
        path = self.folder / LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        facts = [json.loads(line) for line in lines if line.endswith("}")]
        once = {(one["step"], "validation" in one): one for one in facts if one["step"] <= steps}
        return [once[key] for key in sorted(once)]

    def finish(self, made: Path) -> None:
        """The adapter's folder is whole: put it in its place, and take this one away."""
        if self.adapter.exists():
            replaced = self.folder / "replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            self.adapter.replace(replaced)
        made.replace(self.adapter)
        self._clear()

    def _clear(self) -> None:
        """Take the folder away, and those around it that hold nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            for folder in self.adapter.parents[:2]:
                folder.rmdir()

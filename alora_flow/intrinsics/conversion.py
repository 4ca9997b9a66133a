"""A GGUF file as the model folder that it is converted to, with a bar on the terminal while that is under way."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from alora_flow.errors import BadModel
from alora_runtime.errors import ModelError
from alora_runtime.gguf.opening import model_folder

COLUMNS = (TextColumn("converting {task.description}, once"), BarColumn(), DownloadColumn(), TimeRemainingColumn())


def converted(file: Path) -> Path:
    """The folder of a GGUF file. Raises BadModel where it cannot be served, or the gguf package is missing."""
    console = Console(stderr=True)
    with Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(file.name, total=None, visible=False)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        try:
            return model_folder(file, told)
        except ModelError as error:
            raise BadModel(error.message, error.help) from error

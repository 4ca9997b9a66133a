"""A GGUF file as a model folder: converted once, kept in the user's cache, found there from then on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from time import time

from alora_runtime.errors import ModelError

Progress = Callable[[int, int], None]
"""Is told how many bytes of weights are written, of how many."""

CONVERSION = 1
"""Counts up when the same file is converted to something else: what older versions made is not used then."""

SOURCE = "converted.json"
"""Names the file, for whoever looks through the folders."""

PART, STALE = ".part-", 24 * 3600
"""What an unfinished conversion is called after, and the seconds until one is taken to have been killed."""


def model_folder(path: str | Path, progress: Progress | None = None) -> Path:
    """The model folder at `path`; for a GGUF file, the one that it is converted to, now or earlier.

    Raises ModelError for a file that is not a GGUF of a model that can be served.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() == ".gguf" and not path.exists():
        raise ModelError(f"GGUF file {path} does not exist")
    if not path.is_file():
        return path
    folder = converted_folder(path)
    if not folder.is_dir():
        _fill(path, folder, progress)
    return folder


def converted_folder(path: Path) -> Path:
    """Where what is made of this file lies, once it is made."""
    return cache_folder() / "gguf" / f"{path.stem[:80]}-{_key(path)}"


def cache_folder() -> Path:
    """Where alora-flow keeps what it can make again: ALORA_FLOW_CACHE, else `alora-flow` in the user's cache folder."""
    own, shared = os.environ.get("ALORA_FLOW_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared and Path(shared).is_absolute() else Path.home() / ".cache") / "alora-flow"


def _key(path: Path) -> str:
    """Changes with the file's place, size or time of change. To read all of it would take longer than to load it."""
    state = path.stat()
    told = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{CONVERSION}"
    return sha256(told.encode()).hexdigest()[:16]


def _fill(path: Path, folder: Path, progress: Progress | None) -> None:
    """Convert into a folder beside, which gets its name when it is whole."""
    try:
        conversion = import_module("alora_runtime.gguf.conversion")
    except ModuleNotFoundError as error:
        if error.name != "gguf":
            raise
        raise ModelError(f"{path} needs the gguf package: pip install 'alora-flow[gguf]'") from None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        with TemporaryDirectory(prefix=folder.name + PART, dir=folder.parent, ignore_cleanup_errors=True) as part:
            made = Path(part) / "model"
            made.mkdir()
            conversion.convert(path, made, progress)
            (made / SOURCE).write_text(json.dumps({"file": str(path.absolute())}), encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process has converted it meanwhile
            raise ModelError(
                f"{path} cannot be converted in {folder.parent}: {error.strerror or error}; "
                "the environment variable ALORA_FLOW_CACHE names another folder"
            ) from None


def _sweep(home: Path) -> None:
    """Remove what conversions left that were killed."""
    for part in home.glob(f"*{PART}*"):
        if time() - part.stat().st_mtime > STALE:
            rmtree(part, ignore_errors=True)

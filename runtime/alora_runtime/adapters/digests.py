"""Digests of files, made once: kept by path, size and time in the user's cache, so that a plan reads no weights."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

MOST = 4096
"""Digests kept; then the oldest go."""


def cache_file() -> Path:
    """Where they are kept: `$XDG_CACHE_HOME/alora-flow/digests.json`, by default below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "alora-flow" / "digests.json"


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content. Raises OSError where it can't be read."""
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    known = _read()
    if key not in known:
        known[key] = sha256(path.read_bytes()).hexdigest()
        _write(known)
    return known[key]


def _read() -> dict[str, str]:
    try:
        known = json.loads(cache_file().read_bytes())
    except (OSError, ValueError):  # none yet, or another program's: it is made anew
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {key: value for key, value in entries if isinstance(value, str) and len(value) == 64}


def _write(known: dict[str, str]) -> None:
    """As a whole or not at all. Where nothing can be written, digests are made again."""
    file = cache_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
            json.dump(dict(list(known.items())[-MOST:]), made)
        os.replace(made.name, file)

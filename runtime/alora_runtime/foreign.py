"""Files that are something else than their name says, told by their first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from alora_runtime.errors import EngineError

AGAIN = "fetch it again"
OLD = "it is of llama.cpp's time before GGUF", "convert the model anew"
FOREIGN: dict[bytes, tuple[str, str]] = {
    b"version https://git-lfs": ("it is a pointer of Git LFS", "`git lfs pull` fetches the file itself"),
    b"<": ("it is a web page, perhaps of a download that failed", AGAIN),
    **dict.fromkeys((b"lmgg", b"fmgg", b"tjgg"), OLD),
}
"""First bytes → what such a file is, and what to do."""

CUT = ("not fully covered", "invalid header length", "header too small")
"""What safetensors says of a file that ends too early."""

Error = TypeVar("Error", bound=EngineError)


def what_it_is(path: Path) -> tuple[str, str] | None:
    """Of a file that is none of those that are read here: what it is, and what to do; None where that isn't known."""
    try:
        with open(path, "rb") as opened:
            start = opened.read(64)
    except OSError:
        return None
    if not start:
        return "it is empty", AGAIN
    return next((found for beginning, found in FOREIGN.items() if start.startswith(beginning)), None)


def unreadable(path: Path, reason: object, error: type[Error]) -> Error:
    """The error to raise for a file that cannot be read for this reason."""
    cut = ("it is cut short", AGAIN) if any(text in str(reason) for text in CUT) else None
    told, help = what_it_is(path) or cut or (str(reason), None)
    return error(f"{path} cannot be read: {told}", help)

"""What the language's built-in functions do. Their names and types stand in `language/builtins.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BUILTINS: dict[str, Callable[..., Any]] = {
    "len": len,
}

"""The models at hand, as a table for people and as data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alora_flow.intrinsics.at_hand import AtHand

TITLES = {
    "bundled": "bundled",
    "package": "in packages",
    "converted": "GGUF files, converted",
    "hub": "in the local hub cache",
}
UNITS = ("B", "kB", "MB", "GB", "TB")


def models_text(models: Sequence[AtHand]) -> str:
    """What to write, size and note, under a title for each kind that there is."""
    wide = max(len(_short(each.name)) for each in models)
    return "\n".join(line for kind, title in TITLES.items() for line in _part(kind, title, models, wide))


def _part(kind: str, title: str, models: Sequence[AtHand], wide: int) -> Iterator[str]:
    found = [each for each in models if each.kind == kind]
    if found:
        yield title
    for each in found:
        yield f"  {_short(each.name):{wide}}  {size_text(each.size) if each.size else '':>7}  {each.note}".rstrip()


def _short(name: str) -> str:
    """A path below the user's home, as it is written there."""
    home = str(Path.home())
    return f"~{name.removeprefix(home)}" if name.startswith(home + os.sep) else name


def size_text(count: int) -> str:
    """Bytes in powers of a thousand: `93 MB`, `1.2 GB`."""
    number, unit = float(count), 0
    while number >= 999.5 and unit < len(UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.1f} {UNITS[unit]}" if unit and number < 9.95 else f"{number:.0f} {UNITS[unit]}"


def models_json(models: Sequence[AtHand]) -> list[dict[str, Any]]:
    """`usable` is false where a note says why not."""
    return [
        {
            "kind": each.kind,
            "name": each.name,
            "path": None if each.place is None else str(each.place),
            "bytes": each.size,
            "usable": not each.note,
            "note": each.note,
        }
        for each in models
    ]

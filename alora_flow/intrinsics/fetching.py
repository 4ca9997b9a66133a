"""The one place that downloads: files of a hub repository into the local cache, for `alora-flow models pull`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, build_hf_headers
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from alora_flow.errors import BadInput, BadModel, FetchFailed
from alora_flow.intrinsics.completeness import CONFIG
from alora_flow.intrinsics.fetch_errors import explained
from alora_flow.intrinsics.hub import MAIN, PREFIX, HubReference, hub_cache
from alora_flow.intrinsics.selection import RemoteFile, select
from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ModelError

COLUMNS = (
    *(TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn()),
    *(TransferSpeedColumn(), TimeRemainingColumn()),
)
ENDPOINT = "https://huggingface.co"
PATIENCE = 30
"""Seconds for the hub to say what a repository holds."""

CHUNK = 1 << 20


def fetch(wanted: HubReference) -> tuple[Path, int]:
    """The folder or file in the cache, and the bytes that were missing. What is there is not fetched again, and a file
    that was begun goes on where it was interrupted.

    Raises ModelNotFound, BadModel or BadInput where the hub has nothing to fetch, and FetchFailed where it can't be
    reached, breaks off, or the disk is full.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise BadInput(f"the environment variable HF_ENDPOINT is {endpoint!r}, no address of a hub", f"e.g. {ENDPOINT}")
    with explained(wanted, endpoint):
        return _Repository(wanted, endpoint).fetch()


class _Repository:
    """A repository at one commit."""

    def __init__(self, wanted: HubReference, endpoint: str) -> None:
        self.wanted, self.endpoint = wanted, endpoint
        self.revision = wanted.revision or MAIN
        info = HfApi(endpoint=endpoint).model_info(
            wanted.repository, revision=self.revision, files_metadata=True, timeout=PATIENCE
        )
        found = [RemoteFile(each.rfilename, each.size or 0, _hash(each)) for each in info.siblings or []]
        self.commit = _hexadecimal(str(info.sha), "commit")
        self.files = select(found, wanted)
        self.home = hub_cache() / f"{PREFIX}{wanted.repository.replace('/', '--')}"
        self.folder = self.home / "snapshots" / self.commit

    def fetch(self) -> tuple[Path, int]:
        missing = [file for file in self.files if not (self.folder / file.name).is_file()]
        total = sum(file.size for file in missing)
        self._check_space(total - sum(map(self._begun, missing)))
        if not (self.home / "refs" / self.revision).is_file():
            self._refer()  # so that what is broken off is refused as not whole, and not as unknown
        console = Console(stderr=True)
        with Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(str(self.wanted), total=total)
            for file in missing:
                if file.is_weights:
                    self._check_config()
                self._bring(file, lambda count: bar.advance(task, count))
        self._refer()
        return self.folder / self.wanted.inside, total

    def _begun(self, file: RemoteFile) -> int:
        """Bytes of it that an earlier command fetched."""
        part = self._part(file)
        return part.stat().st_size if part.is_file() else 0

    def _part(self, file: RemoteFile) -> Path:
        return self.home / "blobs" / f"{file.hash}.part"

    def _check_space(self, needed: int) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.home).free
        if free < needed:
            raise FetchFailed(
                f"{self.wanted} needs {needed / 1e9:.2f} GB more in {self.home}, where {free / 1e9:.2f} GB are free",
                "make room, or name another folder by the environment variable HF_HUB_CACHE",
            )

    def _check_config(self) -> None:
        """Whether the engine would take the model, before its weights are fetched."""
        try:
            if (self.folder / CONFIG).is_file():
                read_model_folder(self.folder)
        except ModelError as error:
            told = error.message.replace(f"{self.folder}{os.sep}", "").replace(str(self.folder), str(self.wanted))
            raise BadModel(f"{told}; no weights were fetched", error.help) from error

    def _bring(self, file: RemoteFile, tell: Callable[[int], None]) -> None:
        """Into `blobs` under its hash, from where huggingface_hub links it into the snapshot, and finds it later."""
        blob = self.home / "blobs" / file.hash
        lock = self.home.parent / ".locks" / self.home.name / f"{file.hash}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if not blob.is_file():
                self._download(file, self._part(file), tell).rename(blob)
        place = {"revision": self.commit, "endpoint": self.endpoint, "cache_dir": hub_cache()}
        hf_hub_download(self.wanted.repository, file.name, **place)

    def _download(self, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> Path:
        url = hf_hub_url(self.wanted.repository, file.name, revision=self.commit, endpoint=self.endpoint)
        with part.open("ab") as opened:
            begun = opened.tell()
            tell(begun)
            bar = _bar(tell)
            http_get(
                url, opened, resume_size=begun, headers=build_hf_headers(), expected_size=file.size, tqdm_class=bar
            )
        if _digest(part, file) != file.hash:
            part.unlink()
            raise FetchFailed(f"{file.name} of {self.wanted} came damaged", "run the command again")
        return part

    def _refer(self) -> None:
        """The revision means this commit from now on; a hash needs nobody to say so."""
        if self.commit.startswith(self.revision):
            return
        ref = self.home / "refs" / self.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(self.commit, encoding="utf-8")


def _hash(sibling: Any) -> str:
    """Of a large file its SHA-256, of another git's name of its blob."""
    return _hexadecimal(str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id), sibling.rfilename)


def _hexadecimal(found: str, name: str) -> str:
    """It becomes a file's name here, so it is looked at before. Raises FetchFailed for what is no hash."""
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found):
        raise FetchFailed(f"the hub gives {found!r} as the hash of {name}", "see whether HF_ENDPOINT is a hub")
    return found


def _digest(path: Path, file: RemoteFile) -> str:
    """As the hub computes the file's hash."""
    digest = sha256() if len(file.hash) == 64 else sha1(b"blob %d\0" % file.size)
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _bar(tell: Callable[[int], None]) -> type:
    """A class that huggingface_hub takes for a tqdm, and that tells of bytes."""

    class Bar:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, count: int) -> None:
            tell(count)

    return Bar

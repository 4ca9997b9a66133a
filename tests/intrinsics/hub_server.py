"""A small hub: what huggingface_hub asks of one, over HTTP, for the files of a test."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
LARGE = 1000
"""Bytes from which a file is kept by its SHA-256, as Git LFS keeps it."""


@dataclass
class Hub:
    """files: by repository and name. refused: a status and an error code for every request of a repository. cut: bytes
    after which weights break off; from then on, and with 0, they are refused. asked: each method and path, with the
    header Range where there was one."""

    files: dict[str, dict[str, bytes]]
    address: str = ""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main", "v1", COMMIT)
    cut: int | None = None
    damaged: bool = False
    asked: list[str] = field(default_factory=list)

    def fetched(self) -> list[str]:
        """The files whose content was asked for."""
        return [line.removeprefix("GET ") for line in self.asked if line.startswith("GET") and "/resolve/" in line]


def digest(content: bytes) -> str:
    """What the hub names a file's content by."""
    if len(content) >= LARGE:
        return sha256(content).hexdigest()
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.address`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        extent = self.headers.get("Range")
        self.hub.asked.append(f"{self.command} {path}" + (f" {extent}" if extent else ""))
        about = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = about or file
        if found is None:
            return self._refuse(404, "")
        repository = found[1]
        if repository in self.hub.refused:
            return self._refuse(*self.hub.refused[repository])
        if repository not in self.hub.files:
            return self._refuse(404, "RepoNotFound")
        if found[2] not in self.hub.revisions:
            return self._refuse(404, "RevisionNotFound")
        if self.hub.cut == 0 and path.endswith(".safetensors"):
            return self._refuse(503, "")
        files = self.hub.files[repository]
        if about:
            return self._send(json.dumps(self._about(repository, files)).encode(), {})
        content = files[found[3]]
        headers = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int(extent.removeprefix("bytes=").rstrip("-")) if extent else 0
        if self.hub.damaged:
            content = bytes(len(content))
        return self._send(content[start:], headers, 206 if extent else 200)

    def _about(self, repository: str, files: dict[str, bytes]) -> dict[str, Any]:
        siblings = []
        for name, content in files.items():
            one: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": digest(content)}
            if len(content) >= LARGE:
                one["lfs"] = {"sha256": digest(content), "size": len(content), "pointerSize": 130}
            siblings.append(one)
        return {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []}

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", "as the test wants it")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            cut = self.hub.cut if self.path.endswith(".safetensors") else None
            self.wfile.write(content[:cut])
            if cut is not None:
                self.hub.cut, self.close_connection = 0, True

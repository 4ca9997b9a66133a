"""Which of a repository's files are fetched: what alora-flow and transformers read of a model, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from alora_flow.errors import BadModel
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.calibration import CALIBRATION
from alora_flow.intrinsics.completeness import CONFIG, TOKENIZER
from alora_flow.intrinsics.hub import HubReference
from alora_flow.intrinsics.library import ADAPTER

MODEL = (
    *(CONFIG, "generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer*", "vocab.*", "merges.txt", "chat_template*", "additional_chat_templates/*.jinja"),
    *("*.safetensors", "*.safetensors.index.json"),
)
"""Beside each other, as patterns. A `*` of these names no folder."""

OTHER_COPIES = "consolidated*"
"""The same weights once more, as Mistral's own program reads them."""

PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
"""How llama.cpp names the parts of a GGUF file that it has split."""

ANYWHERE = (ADAPTER, "adapter_model.safetensors", "io.yaml", CALIBRATION)
"""An adapter's files, in whatever folder of a library."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. size: bytes. hash: of git's blob, or SHA-256; it is the file's name in the cache."""

    name: str
    size: int
    hash: str

    @property
    def is_weights(self) -> bool:
        return self.name.endswith((".safetensors", ".gguf"))


def select(files: Sequence[RemoteFile], wanted: HubReference) -> list[RemoteFile]:
    """The files to fetch, small ones first. Raises BadModel where they would be no model, adapter or library."""
    files = [file for file in files if ".." not in file.name.split("/") and not file.name.startswith("/")]
    if wanted.inside.endswith(".gguf"):
        found = _whole([file for file in files if file.name == wanted.inside])
    else:
        inside = f"{wanted.inside}/" if wanted.inside else ""
        found = [file for file in files if file.name.startswith(inside) and _wanted(file.name.removeprefix(inside))]
        if not inside and not any(file.is_weights for file in found):
            found += _only_gguf(files, wanted)
    if any(file.name == wanted.inside for file in files) and not found:
        raise BadModel(f"{wanted} is one file, and of these only GGUF files are a model", f"leave out /{wanted.inside}")
    if not any(file.is_weights for file in found):
        raise BadModel(f"{wanted} has nothing to fetch: it holds {_held(files)}", "models are *.safetensors or *.gguf")
    names = {file.name for file in found}
    if CONFIG in names and TOKENIZER not in names:
        raise BadModel(f"{wanted} has no {TOKENIZER}, which a flow needs", "another repository may have it converted")
    return sorted(found, key=lambda file: (file.is_weights, file.size, file.name))


def _wanted(name: str) -> bool:
    folder, _, own = name.rpartition("/")
    beside = not folder or folder == "additional_chat_templates"
    return own in ANYWHERE or (
        beside and any(fnmatchcase(name, pattern) for pattern in MODEL) and not fnmatchcase(name, OTHER_COPIES)
    )


def _only_gguf(files: Sequence[RemoteFile], wanted: HubReference) -> list[RemoteFile]:
    """Repositories of GGUF files hold one model in many sizes, of which one has to be named."""
    found = _whole([file for file in files if file.name.endswith(".gguf")])
    if len(found) > 1:
        listed = ", ".join(f"{file.name} ({file.size / 1e9:.2f} GB)" for file in found)
        raise BadModel(f"{wanted} is {len(found)} GGUF files: {listed}", f"name one: {wanted.at(found[0].name)}")
    return found


def _whole(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Without parts of files, which the engine reads only once they are joined. Raises BadModel if nothing else is
    there."""
    parts = {file: found[1] for file in files if (found := PART.search(file.name))}
    if files and len(parts) == len(files):
        first, count = next(iter(parts.items()))
        raise BadModel(
            f"{first.name} is one of {int(count)} parts of a file",
            "fetch them otherwise, and join them: llama-gguf-split --merge FIRST_PART WHOLE.gguf",
        )
    return [file for file in files if file not in parts]


def _held(files: Sequence[RemoteFile], most: int = 5) -> str:
    names = [file.name for file in files]
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])]) or "no file"

"""What a model folder lacks: files that its index names, and links of a hub snapshot that lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

from alora_runtime.errors import ModelError
from alora_runtime.json_file import read_object

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

READ = (".json", ".jinja", ".safetensors")
"""What the files end in that are read of a model."""


def missing_from_folder(folder: Path) -> list[str]:
    """The names of what is needed and not there; weights only where an index names them, since a plan needs none."""
    return [name for name in (CONFIG, TOKENIZER, *shards(folder)) if not (folder / name).is_file()]


def missing_from_snapshot(folder: Path) -> list[str]:
    """Of a whole model: weights, too, and whatever was begun to be fetched."""
    weights = [] if (folder / INDEX).is_file() else [WEIGHTS]
    wanted = [CONFIG, TOKENIZER, *shards(folder), *weights, *dangling(folder)]
    return [name for name in dict.fromkeys(wanted) if not (folder / name).is_file()]


def shards(folder: Path) -> list[str]:
    """The files that a folder's index names; none where it has no index, or one that can't be read: then the engine
    says what is wrong with it."""
    try:
        named = read_object(folder / INDEX, ModelError).get("weight_map")
    except ModelError:
        return []
    return sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []


def dangling(folder: Path) -> list[str]:
    """Links beside the configuration whose file is gone."""
    links = (path for path in sorted(folder.iterdir()) if path.is_symlink() and not os.path.exists(path))
    return [path.name for path in links if path.suffix in READ]

"""A GGUF file → a model folder as transformers writes them. `opening` imports this file when it has to, so that what
was converted once is opened without the gguf package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ModelError
from alora_runtime.gguf.architecture import read_architecture, read_config
from alora_runtime.gguf.file import GgufFile
from alora_runtime.gguf.opening import Progress
from alora_runtime.gguf.tokens import make_tokenizer, read_tokens, tokenizer_settings
from alora_runtime.gguf.weights import write_weights


def convert(path: Path, folder: Path, progress: Progress | None = None) -> None:
    """Fill an empty folder: what is small first, so that most refusals come before any weights are read.

    Raises ModelError, and OSError where the folder cannot be written.
    """
    file = GgufFile(path)
    architecture, config = read_architecture(file), read_config(file)
    tokens = read_tokens(file)
    make_tokenizer(tokens).save(str(folder / "tokenizer.json"))
    _write(folder / "tokenizer_config.json", tokenizer_settings(tokens, config["max_position_embeddings"]))
    ends = {"bos_token_id": tokens.named("bos"), "eos_token_id": tokens.ends or None}
    _write(folder / "generation_config.json", ends)
    _write(folder / "config.json", {**config, **ends})
    _check(path, folder)
    write_weights(file, folder / "model.safetensors", architecture, config, progress)


def _check(path: Path, folder: Path) -> None:
    """Whether the engine would take what the file says of its model."""
    try:
        read_model_folder(folder)
    except ModelError as error:
        raise ModelError(f"{path} cannot be served: {str(error).replace(f'{folder}/', 'as ')}") from None


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")

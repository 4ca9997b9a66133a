"""A model loaded by transformers: batches in, rows and logits out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.utils import logging

from alora_runtime.compute.batch import Batch
from alora_runtime.compute.decoder import Decoder
from alora_runtime.compute.matrix import Dense, Int8, Twice
from alora_runtime.compute.reference import NAME, Reference, register
from alora_runtime.compute.support import CLASSES, ModelFolder, read_model_folder
from alora_runtime.errors import ModelError

DTYPES: dict[str, tuple[torch.dtype, type[Dense | Int8]]] = {
    "float32": (torch.float32, Dense),
    "bfloat16": (torch.bfloat16, Dense),
    "int8": (torch.float32, Int8),
}
"""What is computed with, and how the layers' weights are stored; embeddings and the output matrix are never in eight
bits. "auto" is bfloat16 where the processor multiplies matrices of it, and float32 elsewhere."""

ATTENTION = ("fast", "reference")

TWICE = range(16_000_000, 400_000_000)
"""Parameters with which the layers' weights are kept in two layouts, one for one row and for many, one for a few. Those
of smaller models stay in the caches, where either is fast; larger ones would take more than another 1.6 GB."""

SMALL = 40_000_000
"""Multiplications up to which one thread is faster than waking a second one for each operation."""


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """One thread for little work."""
    threads = torch.get_num_threads()
    if multiplications > SMALL or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class LanguageModel:
    """A loaded model. `network`: its forward pass. `vocabulary`: ids that tokens can have, which may be fewer than the
    rows of the output matrix. `tokenizer` is None for a folder without tokenizer.json."""

    def __init__(
        self,
        source: ModelFolder,
        model: Any,
        tokenizer: Tokenizer | None,
        attention: str = "fast",
        weights: type[Dense | Int8] = Dense,
    ) -> None:
        self.source, self.tokenizer = source, tokenizer
        self.vocabulary: int = model.config.vocab_size
        if tokenizer is not None:
            self.vocabulary = min(self.vocabulary, 1 + max(tokenizer.get_vocab(with_added_tokens=True).values()))
        if weights is Dense and sum(parameter.numel() for parameter in model.parameters()) in TWICE:
            weights = Twice
        if attention == "fast" and Decoder.fits(model):
            self.network: Decoder | Reference = Decoder(model, self.vocabulary, weights)
        else:
            self.network = Reference(model, self.vocabulary)

    @property
    def slot_bytes(self) -> int:
        """Memory that the KV of one token takes."""
        network = self.network
        return int(len(network.layers) * 2 * network.kv_heads * network.dim * network.dtype.itemsize)

    @property
    def double(self) -> int:
        """The depth at which attention over all before a token costs as much as the token's way through the weights: a
        multiplication per parameter for these, two per number of a query and layer and position for that."""
        network = self.network
        return max(1, int(network.parameters // (2 * len(network.layers) * network.heads * network.dim)))

    def arena(self, slots: int) -> Tensor:
        """`[layers, slots + 1, 2, kv_heads, dim]` of zeros, which take no memory until they are written (numpy asks the
        system for zeroed pages; torch would write them). The last slot is where rows write whose KV is in place."""
        network = self.network
        shape = len(network.layers), slots + 1, 2, network.kv_heads, network.dim
        memory = np.zeros(math.prod(shape) * network.dtype.itemsize, np.uint8)
        return torch.from_numpy(memory).view(network.dtype).view(shape)

    def rows(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        with threads_for(len(batch.tokens) * self.network.parameters):
            return self.network.hidden(batch)

    def logits(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        with threads_for(rows.numel() * self.vocabulary):
            return self.network.head(rows)

    def best(self, logits: Tensor) -> tuple[list[float], list[int]]:
        """The largest logit of each row, not finite where any is not a number, and its token."""
        values, tokens = logits.max(-1)
        return values.tolist(), tokens.tolist()

    def text(self, tokens: list[int]) -> str:
        """Decoded, without special tokens; empty without a tokenizer."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True) if self.tokenizer else ""


def load_model(folder: str | Path, dtype: str = "float32", attention: str = "fast") -> LanguageModel:
    """Load from local files. Raises ModelError with the reason when that cannot be."""
    source = read_model_folder(folder)
    if dtype == "auto":
        dtype = "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is not supported; supported are auto, {', '.join(DTYPES)}")
    if attention not in ATTENTION:
        raise ModelError(f"there is no attention {attention!r}; there are {', '.join(ATTENTION)}")
    register()
    model = _weights(source, DTYPES[dtype][0])
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"{source.folder} has weights that are not finite, in {name}")
    return LanguageModel(source, model, _tokenizer(source.folder / "tokenizer.json"), attention, DTYPES[dtype][1])


def _tokenizer(path: Path) -> Tokenizer | None:
    try:
        return Tokenizer.from_file(str(path)) if path.is_file() else None
    except Exception as error:  # tokenizers raises nothing more specific
        raise ModelError(f"{path} cannot be read: {error}") from None


def _weights(source: ModelFolder, dtype: torch.dtype) -> Any:
    module = import_module(f"transformers.models.{source.model_type}.modeling_{source.model_type}")
    cls = getattr(module, CLASSES[source.model_type])
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, report = cls.from_pretrained(
            source.folder,
            dtype=dtype,
            attn_implementation=NAME,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they come back by name
        )
    except Exception as error:  # transformers raises many kinds for a broken folder; all mean the same to the caller
        raise ModelError(f"{source.folder} cannot be loaded: {error}") from error
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
    for kind in ("missing_keys", "mismatched_keys"):
        if report[kind]:
            raise ModelError(
                f"{source.folder} cannot be loaded: {kind.replace('_', ' ')} {min(map(str, report[kind]))}"
            )
    return model.eval().requires_grad_(False)

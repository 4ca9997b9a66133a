"""A loaded model: batches in, rows and logits out.

transformers is imported only for what needs it: a model that `outline` does not know, and the slow reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from alora_runtime.answer.detokenizer import whole_text
from alora_runtime.compute.batch import Batch, Batcher
from alora_runtime.compute.cpu.processor import Cpu
from alora_runtime.compute.decoder import Decoder
from alora_runtime.compute.outline import Outline, outline_config
from alora_runtime.compute.plain import Plain
from alora_runtime.compute.processor import Processor
from alora_runtime.compute.support import ModelFolder, read_model_folder
from alora_runtime.compute.weights import check_layers, read_checked, stored_tensors
from alora_runtime.errors import CapacityError, ModelError, shown
from alora_runtime.json_file import read_object
from alora_runtime.tokenizer_file import load_tokenizer

if TYPE_CHECKING:
    from alora_runtime.compute.reference import ReferenceNetwork

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""What is computed with. "auto" is bfloat16 where the processor multiplies matrices of it, and float32 elsewhere."""

ATTENTION = ("fast", "reference")


class LanguageModel:
    """A loaded model. `network`: its forward pass. `vocabulary`: ids that tokens can have, which may be fewer than the
    rows of the output matrix. `tokenizer` is None for a folder without tokenizer.json."""

    def __init__(
        self,
        source: ModelFolder,
        model: Any,
        tokenizer: Tokenizer | None,
        processor: Processor,
        attention: str = "fast",
    ) -> None:
        self.source, self.tokenizer, self.processor = source, tokenizer, processor
        self.vocabulary: int = model.config.vocab_size
        if tokenizer is not None:
            known = tokenizer.get_vocab(with_added_tokens=True).values()
            self.vocabulary = min(self.vocabulary, 1 + max(known, default=-1))
        if not self.vocabulary:
            raise ModelError(f"{source.folder / 'tokenizer.json'} has no tokens")
        misfit = None if attention == "reference" else Decoder.misfit(model)
        if misfit:
            warnings.warn(f"{source.folder} runs on the slow reference: {misfit}", stacklevel=2)
        self.slow = misfit or (attention == "reference" and "it was asked for") or ""
        if self.slow:
            slow = _lazily("reference").ReferenceNetwork
            self.network: Decoder | ReferenceNetwork = slow(model, self.vocabulary, processor)
        else:
            self.network = Decoder(model, self.vocabulary, processor)

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
        """`[layers, slots + 1, 2, kv_heads, dim]` of zeros. The last slot is where rows write whose KV is in place.
        In memory the slots of a head follow each other: a row that reads 2,000 of them takes 60 % of the time so.
        Raises CapacityError where there is no memory for it."""
        network = self.network
        shape = (len(network.layers), 2, network.kv_heads, slots + 1, network.dim)
        try:
            return self.processor.zeros(shape, network.dtype).permute(0, 3, 1, 2, 4)
        except (RuntimeError, ValueError, OverflowError, OSError, MemoryError):  # sizes are counted in 64 bits
            raise CapacityError(
                f"cache_tokens is {shown(slots)}, of {self.slot_bytes} bytes each, and there is no memory for so many"
            ) from None

    def batcher(self, arena: Tensor) -> Batcher:
        """Makes steps on an arena into tensors."""
        network = self.network
        return self.processor.batcher(arena, network.heads * network.dim, network.window)

    def rows(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        with self.processor.threads(len(batch.tokens) * self.network.parameters):
            return self.network.hidden(batch)

    def logits(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32, where tokens are chosen: on the processor."""
        with self.processor.threads(rows.numel() * self.vocabulary):
            return self.network.head(rows).cpu()

    def best(self, logits: Tensor) -> tuple[list[float], list[int]]:
        """The largest logit of each row, not finite where any is not a number, and its token."""
        values, tokens = logits.max(-1)
        return values.tolist(), tokens.tolist()

    def text(self, tokens: Sequence[int]) -> str:
        """Decoded, without special tokens; empty without a tokenizer."""
        return whole_text(self.tokenizer, tokens) if self.tokenizer else ""


def load_model(
    folder: str | Path,
    dtype: str = "float32",
    attention: str = "fast",
    device: str = "cpu",
    processor: str | None = None,
) -> LanguageModel:
    """Load from local files. Raises ModelError with the reason when that cannot be."""
    place = usable(device)
    chosen = ("cpu" if place.type == "cpu" else "plain") if processor is None else processor
    source = read_model_folder(folder)
    if dtype == "auto":
        dtype = "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is not supported; supported are auto, {', '.join(DTYPES)}")
    if attention not in ATTENTION:
        raise ModelError(f"there is no attention {attention!r}; there are {', '.join(ATTENTION)}")
    make = PROCESSORS.get(chosen)
    if make is None:
        raise ModelError(f"there is no processor {chosen!r}; there are {', '.join(PROCESSORS)}")
    model = _model(source, DTYPES[dtype], attention).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        # What is not finite makes its sum so, and a sum costs a tenth of looking at each number.
        if not torch.isfinite(parameter.sum()) and not torch.isfinite(parameter).all():
            raise ModelError(f"{source.folder} has weights that are not finite, in {name}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    runs_on = make(place, parameters)
    tokenizer = load_tokenizer(source.folder) if (source.folder / "tokenizer.json").is_file() else None
    return LanguageModel(source, model, tokenizer, runs_on, attention)


def _cpu(device: torch.device, parameters: int) -> Processor:
    if device.type != "cpu":
        raise ModelError(f"the processor 'cpu' computes on cpu, not on {device}")
    return Cpu(parameters)


def _plain(device: torch.device, parameters: int) -> Processor:
    return Plain(device)


PROCESSORS: dict[str, Callable[[torch.device, int], Processor]] = {"cpu": _cpu, "plain": _plain}
"""Name → what makes one for a device and so many parameters."""


def usable(device: str) -> torch.device:
    """The device of a name. Raises ModelError where there is none, or this torch can't use it."""
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"device {device!r} can't be used: {reason}") from None
    return place


def _model(source: ModelFolder, dtype: torch.dtype, attention: str) -> Any:
    """The modules with the stored weights: the outline where it knows them and the decoder will take them, else those
    of transformers."""
    path = source.folder / "config.json"
    config = outline_config(read_object(path, ModelError)) if attention == "fast" else None
    if config is None:
        return _lazily("from_transformers").transformers_model(source, dtype)
    tensors = stored_tensors(source.folder)
    check_layers(path, config.num_hidden_layers, tensors)
    model = Outline(config)
    values = read_checked(path, config.tie_word_embeddings, tensors, model)
    model.load_state_dict({name: value.to(dtype) for name, value in values.items()}, strict=False, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def _lazily(name: str) -> Any:
    """A module of this folder that imports transformers, which most models don't need."""
    return import_module(f"alora_runtime.compute.{name}")

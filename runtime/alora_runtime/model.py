"""A transformers model with our attention and adapted Linear layers: batches in, rows and logits out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.utils import logging

from .adapters import AdaptedLinear, Routing, wrap_linears
from .attention import KERNELS, register
from .batch import Batch
from .errors import ModelError
from .support import CLASSES, ModelFolder, read_model_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class LanguageModel:
    """A loaded model. `layers`: its wrapped Linear layers by module name. `vocabulary`: ids that tokens can have, which
    may be fewer than the rows of the output matrix. `tokenizer` is None for a folder without tokenizer.json."""

    def __init__(self, source: ModelFolder, model: Any, tokenizer: Tokenizer | None) -> None:
        self.source, self.model, self.tokenizer = source, model, tokenizer
        self.config = model.config
        self.routing = Routing()
        self.layers: dict[str, AdaptedLinear] = wrap_linears(model, self.routing)
        self.vocabulary: int = self.config.vocab_size
        if tokenizer is not None:
            self.vocabulary = min(self.vocabulary, 1 + max(tokenizer.get_vocab(with_added_tokens=True).values()))

    def arena(self, slots: int) -> Tensor:
        """`[layers, 2, slots + 1, kv_heads, dim]`, not initialised: only written slots are ever read, and the last one,
        where rows write whose KV is in place already, never is."""
        config = self.config
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return torch.empty(
            config.num_hidden_layers, 2, slots + 1, config.num_key_value_heads, dim, dtype=self.model.dtype
        )

    def rows(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        self.routing.adapters = batch.adapters
        output = self.model.model(input_ids=batch.tokens, position_ids=batch.positions, use_cache=False, batch=batch)
        hidden: Tensor = output.last_hidden_state[0].index_select(0, batch.kept)
        return hidden

    def logits(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        logits: Tensor = self.model.lm_head(rows).float() / getattr(self.config, "logits_scaling", 1.0)
        return logits[:, : self.vocabulary]

    def text(self, tokens: list[int]) -> str:
        """Decoded, without special tokens; empty without a tokenizer."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True) if self.tokenizer else ""


def load_model(folder: str | Path, dtype: str = "float32", attention: str = "fast") -> LanguageModel:
    """Load from local files. Raises ModelError with the reason when that cannot be."""
    source = read_model_folder(folder)
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is not supported; supported are {', '.join(DTYPES)}")
    if attention not in KERNELS:
        raise ModelError(f"there is no attention {attention!r}; there are {', '.join(KERNELS)}")
    register()
    model = _weights(source, DTYPES[dtype], f"alora_{attention}")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"{source.folder} has weights that are not finite, in {name}")
    return LanguageModel(source, model, _tokenizer(source.folder / "tokenizer.json"))


def _tokenizer(path: Path) -> Tokenizer | None:
    try:
        return Tokenizer.from_file(str(path)) if path.is_file() else None
    except Exception as error:  # tokenizers raises nothing more specific
        raise ModelError(f"{path} cannot be read: {error}") from None


def _weights(source: ModelFolder, dtype: torch.dtype, attention: str) -> Any:
    module = import_module(f"transformers.models.{source.model_type}.modeling_{source.model_type}")
    cls = getattr(module, CLASSES[source.model_type])
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, report = cls.from_pretrained(
            source.folder,
            dtype=dtype,
            attn_implementation=attention,
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

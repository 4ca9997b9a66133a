"""The plain way: transformers' own forward pass, masked attention in float32, adapters layer by layer.

The oracle for the decoder, and what serves a model whose parts the decoder does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from alora_runtime.adapters.routing import Routing
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute.attention import Scoring, capped, read, reference
from alora_runtime.compute.batch import Batch
from alora_runtime.compute.decoder import linears
from alora_runtime.compute.processor import Processor
from alora_runtime.compute.traits import traits_of

NAME = "alora_reference"
"""What transformers knows our attention by. It is unknown to its mask functions, so that no mask is built."""


class AdaptedLinear(nn.Module):
    """A Linear plus, on each row, the low-rank update of the row's adapter."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, base.bias
        self.routing = Routing()
        self.updates: dict[int, LowRank] = {}

    def forward(self, hidden: Tensor) -> Tensor:
        """`[1, rows, inputs]` → `[1, rows, outputs]`."""
        output = F.linear(hidden, self.weight, self.bias)
        for adapter, rows in self.routing.adapters:
            update = self.updates.get(adapter)
            if update is not None:
                output[0, rows] += F.linear(F.linear(hidden[0, rows], update.down), update.up)
        return output


class ReferenceNetwork:
    """A transformers model with its Linear layers wrapped; attributes as in Decoder."""

    def __init__(self, model: Any, vocabulary: int, processor: Processor) -> None:
        traits = traits_of(model)
        self._device = processor.device
        model.to(self._device)
        self.model, self.vocabulary = model, vocabulary
        self.dtype: torch.dtype = model.dtype
        self.heads, self.kv_heads, self.dim = traits.heads, traits.kv_heads, traits.dim
        self.window, self.divisor, self.cap = traits.window, traits.divisor, traits.logit_cap
        self.wrapped = {name: AdaptedLinear(linear) for name, linear in list(linears(model))}
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.modules = {name: tuple(linear.weight.shape) for name, linear in self.wrapped.items()}
        self.layers = list(model.model.layers)
        for name, linear in self.wrapped.items():
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, linear)

    def put(self, number: int, updates: Mapping[str, LowRank]) -> None:
        """Add an adapter under a number."""
        for name, update in updates.items():
            there = LowRank(update.down.to(self._device), update.up.to(self._device))
            self.wrapped[name].updates[number] = there

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        for linear in self.wrapped.values():
            linear.updates.pop(number, None)

    def as_stored(self, kv: Tensor) -> Tensor:
        """KV of the arena, as it is."""
        return kv

    def hidden(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        for linear in self.wrapped.values():
            linear.routing = batch.routing
        output = self.model.model(
            input_ids=batch.tokens[None], position_ids=batch.positions[None], use_cache=False, batch=batch
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden if batch.kept is None else hidden[batch.kept]

    def head(self, rows: Tensor) -> Tensor:
        """`[n, hidden]` → `[n, vocabulary]` in float32."""
        logits: Tensor = self.model.lm_head(rows).float()[:, : self.vocabulary] / self.divisor
        return logits if self.cap is None else capped(logits, self.cap)


def over_arena(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    batch: Batch,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Write this layer's K and V, then attend. query `[1, heads, rows, dim]` → `[1, rows, heads, dim]`.
    s_aux: `[heads]`, what transformers calls sinks.

    All rows are written before any is read: pieces of one step may see each other's tokens.
    """
    arena = batch.arena[module.layer_idx]
    arena[batch.slots] = torch.stack([key[0], value[0]]).permute(2, 0, 1, 3)
    outputs = []
    scoring = Scoring(scaling, softcap, None if s_aux is None else s_aux.float())
    clusters = batch.clusters if sliding_window is None else batch.windowed
    for cluster in (part for whole in clusters for part in whole.by_row()):
        rows = query[:, :, cluster.first : cluster.last]
        outputs.append(reference(rows, *read(arena, cluster), cluster, scoring))
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def register() -> None:
    """Make the attention known to transformers; once is enough, twice does no harm."""
    AttentionInterface.register(NAME, over_arena)
